//! Kong's `*_listen` lists: `ADDR:PORT [ssl] [http2] [proxy_protocol]`, separated by commas (D18).

use portcullis_proxy::Listen;
use std::net::SocketAddr;

/// Reads a list of listeners for clients. An entry's address is an IP address (`0.0.0.0`, `[::1]`) or `localhost`; a
/// name would have to be looked up, and may have several addresses.
pub(crate) fn parse_list(text: &str) -> Result<Vec<Listen>, String> {
    let listeners: Vec<Listen> = text.split(',').map(parse).collect::<Result<_, _>>()?;
    for (i, Listen { address, .. }) in listeners.iter().enumerate() {
        if address.port() != 0 && listeners[..i].iter().any(|other| other.address == *address) {
            return Err(format!("{address} stands twice in the list; write it once"));
        }
    }
    Ok(listeners)
}

/// Reads a list of listeners that speak plain HTTP/1.
pub(crate) fn parse_plain_list(text: &str) -> Result<Vec<SocketAddr>, String> {
    let plain = |listener: Listen| {
        let Listen { address, tls, http2 } = listener;
        match tls || http2 {
            true => Err(format!("this listener speaks plain HTTP/1 alone; write {address} without ssl and http2")),
            false => Ok(address),
        }
    };
    parse_list(text)?.into_iter().map(plain).collect()
}

fn parse(entry: &str) -> Result<Listen, String> {
    let mut words = entry.split_whitespace();
    let address = words.next().ok_or("a listener is missing; write ADDR:PORT, such as 0.0.0.0:8000")?;
    let mut listen = Listen::from(address_of(address)?);
    for word in words {
        let flag = match word {
            "ssl" => &mut listen.tls,
            "http2" => &mut listen.http2,
            "proxy_protocol" => {
                return Err(format!("'{word}' is not built yet in this version; write {address} without it"));
            }
            _ => return Err(format!("unknown word '{word}' after {address}; write ssl, http2, or nothing")),
        };
        if std::mem::replace(flag, true) {
            return Err(format!("'{word}' stands twice after {address}; write it once"));
        }
    }
    Ok(listen)
}

fn address_of(text: &str) -> Result<SocketAddr, String> {
    let numeric = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    numeric.parse().map_err(|_| {
        format!("'{text}' is no listener; write ADDR:PORT with an IP address, such as 0.0.0.0:8000 or [::1]:8000")
    })
}

#[cfg(test)]
mod tests {
    use super::{Listen, parse_list, parse_plain_list};

    // D18
    #[test]
    fn lists() {
        let rows = [
            ("127.0.0.1:8000", "127.0.0.1:8000"),
            (" 0.0.0.0:80 ,[::1]:0", "0.0.0.0:80 [::1]:0"),
            ("localhost:8000", "127.0.0.1:8000"),
            ("127.0.0.1:0, 127.0.0.1:0", "127.0.0.1:0 127.0.0.1:0"),
            ("0.0.0.0:8443 ssl", "0.0.0.0:8443+ssl"),
            ("0.0.0.0:80, 0.0.0.0:8443  http2 ssl", "0.0.0.0:80 0.0.0.0:8443+ssl+http2"),
            ("0.0.0.0:80 http2", "0.0.0.0:80+http2"),
        ];
        let shown = |Listen { address, tls, http2 }: &Listen| {
            format!("{address}{}{}", if *tls { "+ssl" } else { "" }, if *http2 { "+http2" } else { "" })
        };
        for (text, wanted) in rows {
            let listeners = parse_list(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(listeners.iter().map(shown).collect::<Vec<_>>().join(" "), wanted, "{text}");
        }
    }

    #[test]
    fn what_is_refused_is_named() {
        let rows = [
            ("", "a listener is missing"),
            ("127.0.0.1:80,", "a listener is missing"),
            ("8000", "'8000' is no listener; write ADDR:PORT"),
            ("example.com:80", "'example.com:80' is no listener"),
            ("127.0.0.1:99999", "'127.0.0.1:99999' is no listener"),
            ("0.0.0.0:8443 ssl ssl", "'ssl' stands twice"),
            ("0.0.0.0:80 proxy_protocol", "'proxy_protocol' is not built yet"),
            ("0.0.0.0:80 reuseport", "unknown word 'reuseport'"),
            ("0.0.0.0:80, 0.0.0.0:80", "0.0.0.0:80 stands twice"),
            ("0.0.0.0:80, 0.0.0.0:80 ssl", "0.0.0.0:80 stands twice"),
        ];
        for (text, wanted) in rows {
            let error = parse_list(text).expect_err(text);
            assert!(error.starts_with(wanted), "{text}: {error}");
        }
    }

    #[test]
    fn some_listeners_are_plain() {
        assert_eq!(parse_plain_list("127.0.0.1:1, [::1]:2").unwrap().len(), 2);
        for text in ["127.0.0.1:1 ssl", "127.0.0.1:1, 127.0.0.1:2 http2"] {
            assert!(parse_plain_list(text).unwrap_err().starts_with("this listener speaks plain HTTP/1"), "{text}");
        }
    }
}
