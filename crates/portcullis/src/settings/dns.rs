//! `dns:`, who is asked for the names of upstreams.

use super::section::Section;
use std::net::{IpAddr, SocketAddr};

/// The port that name servers listen on.
const PORT: u16 = 53;

pub(crate) fn read(section: &mut Section<'_>) -> Vec<SocketAddr> {
    section.parsed("servers", parse).unwrap_or_default()
}

/// `ADDR` or `ADDR:PORT`, separated by commas; `system` for those that the system is configured with.
fn parse(text: &str) -> Result<Vec<SocketAddr>, String> {
    if text == "system" {
        return Ok(Vec::new());
    }
    let one = |text: &str| {
        let address = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, PORT));
        address.or_else(|_| text.parse()).map_err(|_| {
            format!("'{text}' is no name server; write system, or IP addresses such as 10.0.0.2 or [::1]:5353")
        })
    };
    text.split(',').map(|server| one(server.trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn servers() {
        for (text, wanted) in [
            ("system", Ok("")),
            ("10.0.0.2", Ok("10.0.0.2:53")),
            ("10.0.0.2:5353, ::1,[::1]:5", Ok("10.0.0.2:5353 [::1]:53 [::1]:5")),
            ("ns.example.com", Err("'ns.example.com' is no name server")),
            ("10.0.0.2,", Err("'' is no name server")),
        ] {
            match (parse(text), wanted) {
                (Ok(servers), Ok(wanted)) => {
                    let shown: Vec<_> = servers.iter().map(ToString::to_string).collect();
                    assert_eq!(shown.join(" "), wanted, "{text}");
                }
                (Err(error), Err(wanted)) => assert!(error.starts_with(wanted), "{text}: {error}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
    }
}
