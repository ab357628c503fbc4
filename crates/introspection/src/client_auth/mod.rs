//! How we prove to the authorization server who asks (RFC 7662 section 2.1).

mod secret;

use std::fmt;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};

pub use secret::{BasicEncoding, Secret};

use crate::error::ConfigError;
use crate::request::Fields;

/// The client authentication of a profile. Secrets in it are never printed.
#[derive(Clone)]
pub struct ClientAuth {
    method: Method,
}

/// A method is applied anew to every attempt, so that one which signs can sign each attempt apart.
#[derive(Clone)]
enum Method {
    Authorization(Secret),
    Basic { id: String, secret: Secret, encoding: BasicEncoding },
    Post { id: String, secret: Secret },
    None { id: String },
}

impl ClientAuth {
    /// A whole `Authorization` value, sent byte for byte.
    pub fn authorization(value: impl Into<Secret>) -> Self {
        Self { method: Method::Authorization(value.into()) }
    }

    /// `client_secret_basic`, encoded as RFC 6749 says. See [`BasicEncoding`] for servers that do not decode it.
    pub fn basic(id: impl Into<String>, secret: impl Into<Secret>) -> Self {
        Self::basic_encoded(id, secret, BasicEncoding::Rfc6749)
    }

    /// `client_secret_basic` with the encoding that the server wants.
    pub fn basic_encoded(id: impl Into<String>, secret: impl Into<Secret>, encoding: BasicEncoding) -> Self {
        Self { method: Method::Basic { id: id.into(), secret: secret.into(), encoding } }
    }

    /// `client_secret_post`: id and secret in the form.
    pub fn post(id: impl Into<String>, secret: impl Into<Secret>) -> Self {
        Self { method: Method::Post { id: id.into(), secret: secret.into() } }
    }

    /// `none`: the client id alone. Only for servers that protect the endpoint in another way.
    pub fn none(id: impl Into<String>) -> Self {
        Self { method: Method::None { id: id.into() } }
    }

    /// The method's name in the registry of RFC 7591, or `authorization` for the static value.
    pub fn method(&self) -> &'static str {
        match self.method {
            Method::Authorization(_) => "authorization",
            Method::Basic { .. } => "client_secret_basic",
            Method::Post { .. } => "client_secret_post",
            Method::None { .. } => "none",
        }
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        match &self.method {
            Method::Authorization(value) => {
                if value.expose().is_empty() {
                    return Err(ConfigError::AuthorizationValue);
                }
                HeaderValue::from_bytes(value.expose().as_bytes()).map_err(|_| ConfigError::AuthorizationValue)?;
            }
            Method::Basic { id, .. } | Method::Post { id, .. } | Method::None { id } if id.is_empty() => {
                return Err(ConfigError::ClientId);
            }
            Method::Basic { id, encoding: BasicEncoding::Raw, .. } if id.contains(':') => {
                return Err(ConfigError::OutOfRange {
                    setting: "client_id",
                    wanted: "free of `:` where Basic credentials are sent raw (RFC 7617 section 2)",
                });
            }
            Method::Basic { .. } | Method::Post { .. } | Method::None { .. } => {}
        }
        Ok(())
    }

    /// Puts the credentials into one attempt's headers and form.
    pub(crate) fn apply(&self, headers: &mut HeaderMap, form: &mut form_urlencoded::Serializer<'_, String>) {
        let mut authorize = |value: &str| {
            // Validated at load: the value is a header value, and base64 always is.
            if let Ok(mut value) = HeaderValue::from_bytes(value.as_bytes()) {
                value.set_sensitive(true);
                headers.insert(AUTHORIZATION, value);
            }
        };
        match &self.method {
            Method::Authorization(value) => authorize(value.expose()),
            Method::Basic { id, secret, encoding } => authorize(&secret::basic(id, secret, *encoding)),
            Method::Post { id, secret } => {
                form.append_pair("client_id", id).append_pair("client_secret", secret.expose());
            }
            Method::None { id } => {
                form.append_pair("client_id", id);
            }
        }
    }

    /// Every part of the identity, for the key (I-80). Never anything that is fresh per request.
    pub(crate) fn identify(&self, fields: &mut Fields) {
        fields.add(self.method().as_bytes());
        match &self.method {
            Method::Authorization(value) => fields.add(value.expose().as_bytes()),
            Method::Basic { id, secret, encoding } => {
                fields.add(id.as_bytes());
                fields.add(secret.expose().as_bytes());
                fields.add(&[*encoding as u8]);
            }
            Method::Post { id, secret } => {
                fields.add(id.as_bytes());
                fields.add(secret.expose().as_bytes());
            }
            Method::None { id } => fields.add(id.as_bytes()),
        }
    }
}

impl fmt::Debug for ClientAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClientAuth").field(&self.method()).finish()
    }
}
