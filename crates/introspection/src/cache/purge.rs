//! Taking answers out before their time.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use super::Cache;
use super::segment::Positive;
use crate::answer::Answer;
use crate::request::Fingerprint;

/// Which answers to give up.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Purge<'a> {
    All,
    /// Those of one profile.
    Profile(Fingerprint),
    /// Those of a token, and of its other spellings: answers with the same `jti`, or where the answer has none, with
    /// the same `sub` and `client_id`.
    Token(&'a str),
    Jti(&'a str),
    Sub(&'a str),
    ClientId(&'a str),
    Username(&'a str),
    /// Session id, member `sid`.
    Sid(&'a str),
}

impl Cache {
    /// Gives up every answer that matches, and returns how many there were. A call that is under way serves those who
    /// wait for it and is not stored; whoever asks from now on makes a new one (I-91).
    pub fn purge(&self, purge: &Purge<'_>) -> u64 {
        // First the generation: what is stored before it is raised, the scan finds; after it nothing old is stored.
        *self.generation.write().unwrap_or_else(PoisonError::into_inner) += 1;
        let count = match *purge {
            Purge::All => self.purge_where(|_| true) + self.negative.remove_all(|_| true),
            Purge::Profile(fingerprint) => {
                let profile = fingerprint.short();
                self.purge_where(|entry| entry.profile == profile)
                    + self.negative.remove_all(|entry| entry.profile == profile)
            }
            Purge::Token(token) => self.purge_token(token),
            Purge::Jti(jti) => self.purge_where(|entry| entry.answer.jti() == Some(jti)),
            Purge::Sub(sub) => self.purge_where(|entry| entry.answer.sub() == Some(sub)),
            Purge::ClientId(id) => self.purge_where(|entry| entry.answer.client_id() == Some(id)),
            Purge::Username(name) => self.purge_where(|entry| entry.answer.username() == Some(name)),
            Purge::Sid(sid) => self.purge_where(|entry| entry.answer.get_str("sid").as_deref() == Some(sid)),
        };
        let token = if let Purge::Token(token) = purge { self.token_digest(token).to_string() } else { String::new() };
        tracing::info!(?purge, token, count, "answers purged");
        count
    }

    fn purge_where(&self, matches: impl Fn(&Positive) -> bool) -> u64 {
        self.positive.remove_all(matches)
    }

    fn purge_token(&self, token: &str) -> u64 {
        let digest = self.token_digest(token);
        let families = Mutex::new(HashSet::new());
        let spelled_so = self.purge_where(|entry| {
            let hit = entry.token == digest;
            if hit && let Some(family) = Family::of(&entry.answer) {
                families.lock().unwrap_or_else(PoisonError::into_inner).insert(family);
            }
            hit
        });
        let families = families.into_inner().unwrap_or_else(PoisonError::into_inner);
        let otherwise = if families.is_empty() {
            0
        } else {
            self.purge_where(|entry| Family::of(&entry.answer).is_some_and(|family| families.contains(&family)))
        };
        spelled_so + otherwise + self.negative.remove_all(|entry| entry.token == digest)
    }
}

/// What all spellings of one token have in common.
#[derive(PartialEq, Eq, Hash)]
enum Family {
    Jti(String),
    SubAndClient(String, String),
}

impl Family {
    fn of(answer: &Answer) -> Option<Self> {
        if let Some(jti) = answer.jti() {
            return Some(Self::Jti(jti.to_owned()));
        }
        Some(Self::SubAndClient(answer.sub()?.to_owned(), answer.client_id()?.to_owned()))
    }
}

impl fmt::Debug for Purge<'_> {
    /// Says by what, not by which value: those are tokens and personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Profile(fingerprint) => f.debug_tuple("Profile").field(fingerprint).finish(),
            Self::All => f.write_str("All"),
            Self::Token(_) => f.write_str("Token"),
            Self::Jti(_) => f.write_str("Jti"),
            Self::Sub(_) => f.write_str("Sub"),
            Self::ClientId(_) => f.write_str("ClientId"),
            Self::Username(_) => f.write_str("Username"),
            Self::Sid(_) => f.write_str("Sid"),
        }
    }
}
