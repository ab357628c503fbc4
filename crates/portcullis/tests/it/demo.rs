//! The demo does what its page says: its lines go through a shell as a person pastes them.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use crate::stage::BINARY;

/// Ends the demo with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn the_lines_of_the_page_work() {
    let mut demo = Command::new(BINARY).args(["demo", "--port", "0"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(demo.stdout.take().unwrap());
    let mut demo = Running(demo);
    let mut page = String::new();
    while !page.contains("Ctrl-C") {
        assert!(output.read_line(&mut page).unwrap() > 0, "the demo ended: {page}");
    }
    let lines: Vec<&str> =
        page.lines().filter(|line| ["curl ", "TOKEN=", "for "].iter().any(|first| line.starts_with(first))).collect();
    assert!(lines.iter().filter(|line| line.contains("curl")).count() >= 4, "{page}");

    let pasted = Command::new("sh").args(["-c", &lines.join("\necho; echo ----\n")]).output().unwrap();
    let shown = String::from_utf8_lossy(&pasted.stdout).replace('\r', "");
    let parts: Vec<&str> = shown.split("----\n").collect();
    assert_eq!(parts.len(), lines.len(), "{shown}");
    assert!(parts[0].starts_with("HTTP/1.1 401") && parts[0].contains("www-authenticate: Bearer"), "{}", parts[0]);
    assert!(parts[1].contains("\"access_token\""), "{}", parts[1]);
    let with_token = parts.iter().position(|part| part.starts_with("HTTP/1.1 200")).expect("a 200 with the token");
    assert!(
        parts[with_token].contains("x-consumer-username") && parts[with_token].contains("x-credential-sub"),
        "{shown}"
    );
    // I-151, S-18
    let forged = parts[with_token + 1];
    assert!(forged.contains("x-credential-sub") && !forged.contains("root"), "{forged}");
    assert!(parts.last().unwrap().trim_end().ends_with("401"), "the revoked token ended: {shown}");

    let interrupted = Command::new("sh").args(["-c", &format!("kill -INT {}", demo.0.id())]).status().unwrap();
    assert!(interrupted.success());
    let ended = portcullis_testkit::until("the end of the demo", || demo.0.try_wait().unwrap());
    assert_eq!(ended.code(), Some(0));
    output.read_to_string(&mut page).unwrap();
    assert!(!page.contains("panicked"));
}
