//! What the authorization server is asked, and the key under which its answer is kept: one list of inputs for both.
//!
//! Whatever reaches the server, or decides whom we ask and how we read the answer, is a field of [`Inputs`] (the same
//! for every request of a profile) or of [`Call`] (differs per request). Key and request take these structs apart
//! without `..`, so that a field which one of them forgets does not compile (I-80).

use std::fmt;

use aws_lc_rs::hmac;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;
use zeroize::Zeroizing;

use crate::answer::Reading;
use crate::client_auth::ClientAuth;
use crate::config::{is_reserved_header, is_reserved_parameter};

/// Version of what is digested and how: part of every fingerprint.
const FORMAT: &[u8] = b"portcullis-introspection 1";

/// The inputs that are the same for every request of a profile.
#[derive(Clone)]
pub(crate) struct Inputs {
    pub endpoint: Url,
    /// PEM of the CAs trusted beside the bundled ones; the whole of "how we trust it", since verification is always on
    /// and forward proxies are not used.
    pub ca_certificates: Vec<u8>,
    pub client_auth: ClientAuth,
    pub token_type_hint: Option<String>,
    pub parameters: Vec<(String, String)>,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub accept: HeaderValue,
    pub reading: Reading,
}

/// The inputs of one request: its token, and what else of it reaches the authorization server.
#[derive(Clone)]
pub struct Call<'a> {
    token: &'a str,
    headers: Vec<(&'a HeaderName, &'a HeaderValue)>,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Call<'a> {
    /// A call about `token`, as [`bearer`](crate::bearer) took it from the request.
    pub fn new(token: &'a str) -> Self {
        Self { token, headers: Vec::new(), parameters: Vec::new() }
    }

    /// Adds a header for this call alone. Names for which [`is_reserved_header`] holds are not sent: refuse them at load.
    pub fn with_header(mut self, name: &'a HeaderName, value: &'a HeaderValue) -> Self {
        if !is_reserved_header(name) {
            self.headers.push((name, value));
        }
        self
    }

    /// Adds a form parameter for this call alone. Names for which [`is_reserved_parameter`] holds are not sent: refuse
    /// them at load.
    pub fn with_parameter(mut self, name: &'a str, value: &'a str) -> Self {
        if !is_reserved_parameter(name) {
            self.parameters.push((name, value));
        }
        self
    }

    pub(crate) fn token(&self) -> &'a str {
        self.token
    }

    pub(crate) fn to_asked(&self) -> Asked {
        let Self { token, headers, parameters } = self;
        Asked {
            token: Zeroizing::new((*token).to_owned()),
            headers: headers.iter().map(|(name, value)| ((*name).clone(), (*value).clone())).collect(),
            parameters: parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        }
    }
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").finish_non_exhaustive()
    }
}

/// A [`Call`] that outlives its request.
pub(crate) struct Asked {
    pub token: Zeroizing<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
    parameters: Vec<(String, String)>,
}

/// One attempt, ready to be sent by POST.
pub(crate) struct Attempt {
    pub url: Url,
    pub headers: HeaderMap,
    pub body: String,
}

/// Writes one attempt. Called again for a retry: an authentication that signs must sign anew (I-10).
pub(crate) fn attempt(inputs: &Inputs, asked: &Asked) -> Attempt {
    let Inputs {
        endpoint,
        ca_certificates: _, // decides which HTTP client sends it
        client_auth,
        token_type_hint,
        parameters,
        headers: fixed_headers,
        accept,
        reading: _, // decides how its answer is read
    } = inputs;
    let Asked { token, headers: own_headers, parameters: own_parameters } = asked;

    let mut headers = HeaderMap::with_capacity(4 + fixed_headers.len() + own_headers.len());
    headers.insert(ACCEPT, accept.clone());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    for (name, value) in fixed_headers.iter().chain(own_headers) {
        headers.append(name.clone(), value.clone());
    }
    let mut form = form_urlencoded::Serializer::new(String::with_capacity(token.len() + 256));
    form.append_pair("token", token);
    if let Some(hint) = token_type_hint {
        form.append_pair("token_type_hint", hint);
    }
    for (name, value) in parameters.iter().chain(own_parameters) {
        form.append_pair(name, value);
    }
    client_auth.apply(&mut headers, &mut form);
    Attempt { url: endpoint.clone(), headers, body: form.finish() }
}

/// A profile's identity: equal exactly if everything is that a [`Config`](crate::Config) says
/// about whom is asked, how, and how answers are read; within one process. Safe to log and to compare.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(crate) fn of(inputs: &Inputs, process: &hmac::Key) -> Self {
        let Inputs {
            endpoint,
            ca_certificates,
            client_auth,
            token_type_hint,
            parameters,
            headers,
            accept,
            reading: Reading { max_bytes, max_depth, max_members, millisecond_dates, string_dates },
        } = inputs;
        let mut fields = Fields::default();
        fields.add(FORMAT);
        fields.add(endpoint.as_str().as_bytes());
        fields.add(ca_certificates);
        client_auth.identify(&mut fields);
        fields.add(&[u8::from(token_type_hint.is_some())]);
        fields.add(token_type_hint.as_deref().unwrap_or_default().as_bytes());
        fields.count(parameters.len());
        for (name, value) in parameters {
            fields.add(name.as_bytes());
            fields.add(value.as_bytes());
        }
        fields.count(headers.len());
        for (name, value) in headers {
            fields.add(name.as_ref());
            fields.add(value.as_bytes());
        }
        fields.add(accept.as_bytes());
        for limit in [max_bytes, max_depth, max_members] {
            fields.count(*limit);
        }
        fields.add(&[u8::from(*millisecond_dates), u8::from(*string_dates)]);
        Self(tag(process, &fields.0))
    }

    /// The key under which this profile's tokens are digested. Not derivable from the fingerprint by who only sees it.
    pub(crate) fn derive(&self, process: &hmac::Key) -> hmac::Key {
        let mut fields = Fields::default();
        fields.add(b"tokens of a profile");
        fields.add(&self.0);
        hmac::Key::new(hmac::HMAC_SHA256, &tag(process, &fields.0))
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Its first eight bytes: enough to tell profiles apart where space counts.
    pub(crate) fn short(&self) -> u64 {
        first_eight(&self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.short())
    }
}

/// Key of one answer and of the flight that fetches it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key([u8; 32]);

impl std::hash::Hash for Key {
    /// The key is a digest already: any eight bytes of it are as good as a hash.
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u64(first_eight(&self.0));
    }
}

impl Key {
    /// The key of a call, under its profile's HMAC key.
    pub(crate) fn of(call: &Call<'_>, profile: &hmac::Key) -> Self {
        let Call { token, headers, parameters } = call;
        let mut digest = Digest::new(profile);
        digest.count(headers.len());
        for (name, value) in headers {
            digest.add(name.as_ref());
            digest.add(value.as_bytes());
        }
        digest.count(parameters.len());
        for (name, value) in parameters {
            digest.add(name.as_bytes());
            digest.add(value.as_bytes());
        }
        digest.add(token.as_bytes());
        Self(digest.finish())
    }
}

/// Stands for a token in logs, and in a purge by token: eight bytes of a keyed digest, the same for every profile of
/// one cache, unrelated between processes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenDigest(u64);

impl TokenDigest {
    pub(crate) fn of(token: &str, tokens: &hmac::Key) -> Self {
        Self(first_eight(hmac::sign(tokens, token.as_bytes()).as_ref()))
    }

    pub fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Bytes to digest, each field behind its length, so that no byte moves from one field to the next unseen (S-5).
#[derive(Default)]
pub(crate) struct Fields(Zeroizing<Vec<u8>>);

impl Fields {
    pub(crate) fn add(&mut self, field: &[u8]) {
        self.count(field.len());
        self.0.extend_from_slice(field);
    }

    fn count(&mut self, number: usize) {
        self.0.extend_from_slice(&(number as u64).to_be_bytes());
    }
}

/// Bytes of a [`Digest`] before it becomes a stream: opaque tokens and most that are JWTs.
const STACK: usize = 1024;

/// The same on the request path: no allocation. Fields are collected on the stack, since signing in one go is faster
/// than a stream of pieces; what does not fit goes on as a stream.
struct Digest<'k> {
    key: &'k hmac::Key,
    stack: [u8; STACK],
    filled: usize,
    stream: Option<hmac::Context>,
}

impl<'k> Digest<'k> {
    fn new(key: &'k hmac::Key) -> Self {
        Self { key, stack: [0; STACK], filled: 0, stream: None }
    }

    fn add(&mut self, field: &[u8]) {
        self.count(field.len());
        self.write(field);
    }

    fn count(&mut self, number: usize) {
        self.write(&(number as u64).to_be_bytes());
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.stream.is_none() {
            if let Some(room) = self.stack.get_mut(self.filled..self.filled + bytes.len()) {
                room.copy_from_slice(bytes);
                self.filled += bytes.len();
                return;
            }
            let mut stream = hmac::Context::with_key(self.key);
            stream.update(&self.stack[..self.filled]);
            self.stream = Some(stream);
        }
        if let Some(stream) = &mut self.stream {
            stream.update(bytes);
        }
    }

    /// Borrows, since moving these two kilobytes would cost as much as a look into the cache.
    fn finish(&mut self) -> [u8; 32] {
        match self.stream.take() {
            Some(stream) => bytes_of(stream.sign()),
            None => tag(self.key, &self.stack[..self.filled]),
        }
    }
}

fn tag(key: &hmac::Key, bytes: &[u8]) -> [u8; 32] {
    bytes_of(hmac::sign(key, bytes))
}

fn bytes_of(tag: hmac::Tag) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(tag.as_ref());
    bytes
}

fn first_eight(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests;
