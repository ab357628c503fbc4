//! Kong's `*_listen` lists: `ADDR:PORT [ssl] [http2] [proxy_protocol]`, separated by commas (D18).

use std::net::SocketAddr;

/// Reads a list of listeners. An entry's address is an IP address (`0.0.0.0`, `[::1]`) or `localhost`; a name would
/// have to be looked up, and may have several addresses.
pub(crate) fn parse_list(text: &str) -> Result<Vec<SocketAddr>, String> {
    let listeners: Vec<SocketAddr> = text.split(',').map(parse).collect::<Result<_, _>>()?;
    for (i, listener) in listeners.iter().enumerate() {
        if listener.port() != 0 && listeners[..i].contains(listener) {
            return Err(format!("{listener} stands twice in the list; write it once"));
        }
    }
    Ok(listeners)
}

fn parse(entry: &str) -> Result<SocketAddr, String> {
    let mut words = entry.split_whitespace();
    let address = words.next().ok_or("a listener is missing; write ADDR:PORT, such as 0.0.0.0:8000")?;
    match words.next() {
        None => address_of(address),
        Some(word @ ("ssl" | "http2" | "proxy_protocol")) => {
            Err(format!("'{word}' is not built yet in this version; write {address} alone"))
        }
        Some(word) => Err(format!("unknown word '{word}' after {address}; write {address} alone")),
    }
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
    use super::parse_list;

    #[test]
    fn lists() {
        let rows = [
            ("127.0.0.1:8000", "127.0.0.1:8000"),
            (" 0.0.0.0:80 ,[::1]:0", "0.0.0.0:80 [::1]:0"),
            ("localhost:8000", "127.0.0.1:8000"),
            ("127.0.0.1:0, 127.0.0.1:0", "127.0.0.1:0 127.0.0.1:0"),
        ];
        for (text, wanted) in rows {
            let listeners = parse_list(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            let shown: Vec<_> = listeners.iter().map(ToString::to_string).collect();
            assert_eq!(shown.join(" "), wanted, "{text}");
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
            ("0.0.0.0:8443 ssl", "'ssl' is not built yet"),
            ("0.0.0.0:8443 http2 ssl", "'http2' is not built yet"),
            ("0.0.0.0:80 proxy_protocol", "'proxy_protocol' is not built yet"),
            ("0.0.0.0:80 reuseport", "unknown word 'reuseport'"),
            ("0.0.0.0:80, 0.0.0.0:80", "0.0.0.0:80 stands twice"),
        ];
        for (text, wanted) in rows {
            let error = parse_list(text).expect_err(text);
            assert!(error.starts_with(wanted), "{text}: {error}");
        }
    }
}
