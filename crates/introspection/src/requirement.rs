//! What a caller demands of an answer. Checked on every use, from the cache or not (I-24, I-27).

use std::time::Duration;

use thiserror::Error;

use crate::answer::Answer;
use crate::clock::millis;

/// Demands on an answer. The default demands an active access token at its time, bound to no key, and nothing else.
#[derive(Debug, Clone)]
pub struct Requirement {
    leeway: Duration,
    issuers: Vec<String>,
    issuer_may_be_absent: bool,
    audiences: Vec<String>,
    scopes: Vec<Vec<String>>,
    refuse_foreign_kinds: bool,
    refuse_bound: bool,
}

impl Default for Requirement {
    fn default() -> Self {
        Self {
            leeway: Duration::ZERO,
            issuers: Vec::new(),
            issuer_may_be_absent: false,
            audiences: Vec::new(),
            scopes: Vec::new(),
            refuse_foreign_kinds: true,
            refuse_bound: true,
        }
    }
}

/// The first demand that an answer does not meet. Variants stand in the order of the checks: token validity, proof of
/// possession, audience, scope (I-28).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Unmet {
    #[error("the token is not active")]
    Inactive,
    #[error("the token is no access token")]
    WrongKind,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    NotYetValid,
    #[error("the issuer is not one of those expected")]
    WrongIssuer,
    #[error("the token is bound to a key whose possession cannot be verified here")]
    BindingUnknown,
    #[error("the audience is not one of those expected")]
    WrongAudience,
    /// `scope` is what would have sufficed, space-separated: for the challenge.
    #[error("the scope does not suffice")]
    InsufficientScope { scope: String },
}

impl Unmet {
    /// The public code (I-53).
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::WrongKind => "wrong_kind",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::WrongIssuer => "wrong_issuer",
            Self::BindingUnknown => "binding_unknown",
            Self::WrongAudience => "wrong_audience",
            Self::InsufficientScope { .. } => "insufficient_scope",
        }
    }
}

impl Requirement {
    /// Tolerance for clocks that differ. Default zero. It lets a token pass, and never extends how long it is stored.
    pub fn leeway(self, leeway: Duration) -> Self {
        Self { leeway, ..self }
    }

    /// Issuers of which the answer must name one. Default none: `iss` is not checked.
    pub fn issuers<S: Into<String>>(self, issuers: impl IntoIterator<Item = S>) -> Self {
        Self { issuers: issuers.into_iter().map(Into::into).collect(), ..self }
    }

    /// Accepts an answer that names no issuer. Default off: where issuers are set, one is required.
    pub fn issuer_may_be_absent(self, may: bool) -> Self {
        Self { issuer_may_be_absent: may, ..self }
    }

    /// Audiences of which the answer must name one. Default none: `aud` is not checked.
    pub fn audiences<S: Into<String>>(self, audiences: impl IntoIterator<Item = S>) -> Self {
        Self { audiences: audiences.into_iter().map(Into::into).collect(), ..self }
    }

    /// Scopes of which the answer must have all.
    pub fn scopes<S: Into<String>>(self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.any_scopes([scopes])
    }

    /// Sets of scopes, of which the answer must have one set whole.
    pub fn any_scopes<S: Into<String>, I: IntoIterator<Item = S>>(self, sets: impl IntoIterator<Item = I>) -> Self {
        let scopes = sets.into_iter().map(|set| set.into_iter().map(Into::into).collect()).collect();
        Self { scopes, ..self }
    }

    /// Refuses answers that name another kind of token: refresh, ID, logout. Default on.
    pub fn refuse_foreign_kinds(self, refuse: bool) -> Self {
        Self { refuse_foreign_kinds: refuse, ..self }
    }

    /// Refuses tokens that are bound to a key (`cnf`): whoever turns this off verifies the possession. Default on.
    pub fn refuse_bound(self, refuse: bool) -> Self {
        Self { refuse_bound: refuse, ..self }
    }

    /// Checks an answer at `now`, in Unix milliseconds. Allocates for a refusal for lack of scope alone.
    ///
    /// # Errors
    /// The first demand that is not met.
    pub fn check(&self, answer: &Answer, now: u64) -> Result<(), Unmet> {
        let leeway = millis(self.leeway);
        if !answer.active() {
            return Err(Unmet::Inactive);
        }
        if self.refuse_foreign_kinds && answer.is_foreign_kind() {
            return Err(Unmet::WrongKind);
        }
        if now >= answer.expires().saturating_add(leeway) {
            return Err(Unmet::Expired);
        }
        if now.saturating_add(leeway) < answer.not_before() {
            return Err(Unmet::NotYetValid);
        }
        if !self.accepts_issuer(answer.iss()) {
            return Err(Unmet::WrongIssuer);
        }
        if self.refuse_bound && answer.is_bound() {
            return Err(Unmet::BindingUnknown);
        }
        if !self.audiences.is_empty() && !answer.aud().any(|aud| self.audiences.iter().any(|wanted| *wanted == aud)) {
            return Err(Unmet::WrongAudience);
        }
        self.check_scope(answer)
    }

    fn accepts_issuer(&self, issuer: Option<&str>) -> bool {
        match issuer {
            _ if self.issuers.is_empty() => true,
            Some(issuer) => self.issuers.iter().any(|wanted| wanted == issuer),
            None => self.issuer_may_be_absent,
        }
    }

    fn check_scope(&self, answer: &Answer) -> Result<(), Unmet> {
        let has_all = |set: &Vec<String>| set.iter().all(|wanted| answer.scope().any(|scope| scope == wanted));
        if self.scopes.is_empty() || self.scopes.iter().any(has_all) {
            return Ok(());
        }
        Err(Unmet::InsufficientScope { scope: self.scopes.first().map(|set| set.join(" ")).unwrap_or_default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    #[test]
    fn demands_are_checked_in_order() {
        let plain = Requirement::default;
        let issuer = || plain().issuers(["https://as.example"]);
        let audience = || plain().audiences(["api", "https://api.example"]);
        let strict = || issuer().audiences(["api"]).scopes(["read"]);
        let scope = |scope: &str| Err(Unmet::InsufficientScope { scope: scope.to_owned() });
        let rows = [
            (plain(), r#"{"active":true}"#, Ok(())), // I-21
            (plain(), r#"{"active":false,"exp":1}"#, Err(Unmet::Inactive)),
            // I-23
            (plain(), r#"{"active":true,"token_use":"refresh_token"}"#, Err(Unmet::WrongKind)),
            (plain(), r#"{"active":true,"typ":"Refresh"}"#, Err(Unmet::WrongKind)),
            (plain(), r#"{"active":true,"typ":"Offline"}"#, Err(Unmet::WrongKind)),
            (plain(), r#"{"active":true,"token_type":"ID"}"#, Err(Unmet::WrongKind)),
            (plain(), r#"{"active":true,"typ":"logout+jwt"}"#, Err(Unmet::WrongKind)),
            (plain().refuse_foreign_kinds(false), r#"{"active":true,"typ":"Refresh"}"#, Ok(())),
            // I-22
            (plain(), r#"{"active":true,"token_type":"access_token","token_use":"access_token"}"#, Ok(())),
            (plain(), r#"{"active":true,"token_type":"whatever","typ":7}"#, Ok(())),
            // I-24, S-8
            (plain(), r#"{"active":true,"exp":1699999999}"#, Err(Unmet::Expired)),
            (plain(), r#"{"active":true,"exp":1700000000}"#, Err(Unmet::Expired)),
            (plain(), r#"{"active":true,"exp":1700000000.5}"#, Ok(())),
            (plain(), r#"{"active":true,"exp":0}"#, Err(Unmet::Expired)), // I-147
            (plain(), r#"{"active":true,"exp":1e18}"#, Ok(())),           // I-148
            (plain(), r#"{"active":true,"nbf":1700000001}"#, Err(Unmet::NotYetValid)),
            (plain(), r#"{"active":true,"nbf":1700000000}"#, Ok(())),
            // I-93
            (plain().leeway(Duration::from_secs(5)), r#"{"active":true,"exp":1699999996}"#, Ok(())),
            (plain().leeway(Duration::from_secs(5)), r#"{"active":true,"exp":1699999995}"#, Err(Unmet::Expired)),
            (plain().leeway(Duration::from_secs(5)), r#"{"active":true,"nbf":1700000005}"#, Ok(())),
            // I-25, S-54
            (issuer(), r#"{"active":true,"iss":"https://as.example"}"#, Ok(())),
            (issuer(), r#"{"active":true,"iss":"https://as.example/"}"#, Err(Unmet::WrongIssuer)),
            (issuer(), r#"{"active":true}"#, Err(Unmet::WrongIssuer)),
            (issuer().issuer_may_be_absent(true), r#"{"active":true}"#, Ok(())),
            (issuer().issuer_may_be_absent(true), r#"{"active":true,"iss":"x"}"#, Err(Unmet::WrongIssuer)),
            (plain(), r#"{"active":true,"iss":"x"}"#, Ok(())),
            // I-65
            (plain(), r#"{"active":true,"cnf":{"jkt":"x"}}"#, Err(Unmet::BindingUnknown)),
            (plain(), r#"{"active":true,"cnf":null}"#, Ok(())),
            (plain().refuse_bound(false), r#"{"active":true,"cnf":{"jkt":"x"}}"#, Ok(())),
            // I-26, I-19, S-53
            (audience(), r#"{"active":true,"aud":"api"}"#, Ok(())),
            (audience(), r#"{"active":true,"aud":["other","https:\/\/api.example"]}"#, Ok(())),
            (audience(), r#"{"active":true,"aud":"api other"}"#, Err(Unmet::WrongAudience)),
            (audience(), r#"{"active":true,"aud":"API"}"#, Err(Unmet::WrongAudience)),
            (audience(), r#"{"active":true,"aud":[]}"#, Err(Unmet::WrongAudience)),
            (audience(), r#"{"active":true}"#, Err(Unmet::WrongAudience)),
            // I-18, S-2
            (plain().scopes(["read", "write"]), r#"{"active":true,"scope":"write  read extra"}"#, Ok(())),
            (plain().scopes(["read", "write"]), r#"{"active":true,"scope":["write","read"]}"#, Ok(())),
            (plain().scopes(["read", "write"]), r#"{"active":true,"scope":"read"}"#, scope("read write")),
            (plain().scopes(["read"]), r#"{"active":true,"scope":"Read reader"}"#, scope("read")),
            (plain().scopes(["read"]), r#"{"active":true}"#, scope("read")),
            (plain().any_scopes([vec!["a", "b"], vec!["c"]]), r#"{"active":true,"scope":"c"}"#, Ok(())),
            (plain().any_scopes([vec!["a", "b"], vec!["c"]]), r#"{"active":true,"scope":"a"}"#, scope("a b")),
            // I-28
            (strict(), r#"{"active":true,"exp":1,"typ":"ID"}"#, Err(Unmet::WrongKind)),
            (strict(), r#"{"active":true,"exp":1,"iss":"x"}"#, Err(Unmet::Expired)),
            (strict(), r#"{"active":true,"iss":"x","cnf":{}}"#, Err(Unmet::WrongIssuer)),
            (strict(), r#"{"active":true,"iss":"https://as.example","cnf":{}}"#, Err(Unmet::BindingUnknown)),
            (strict(), r#"{"active":true,"iss":"https://as.example"}"#, Err(Unmet::WrongAudience)),
            (strict(), r#"{"active":true,"iss":"https://as.example","aud":"api"}"#, scope("read")),
        ];
        for (requirement, json, expected) in rows {
            let answer = Answer::from_json(json.as_bytes()).unwrap();
            assert_eq!(requirement.check(&answer, NOW), expected, "{json}");
        }
    }
}
