//! `cargo xtask corpus`: every case of the framing corpus through nginx, haproxy and the gateway, as a table for
//! readers. The tests send the same cases to the gateway alone, and hold it to them.

use std::fs;

use crate::Failure;
use crate::install;
use crate::program;
use crate::program::{command, output, root};

const RESULTS: &str = "bench/results/corpus.md";

const HEADING: &str = "# Messages that two servers could read differently

Written by `cargo xtask corpus`. Each case is sent as raw bytes, with one more request right behind it, through each
proxy to an upstream that notes what arrives. All three are plain proxies with short time limits.

- *refused*: an error, and not a byte reaches the upstream; *closed*: the connection ends without an answer.
- *forwarded*: the upstream gets one whole request (or so many), and the next one behind it; *and closed*: the
  connection ends, the next one is never read.
- *cut*: the upstream gets a part of a request, and then its connection ends. Whether it had got any, or the request
  was *refused*, can be a matter of timing where the body is at fault.
- *answered*: by the proxy itself, and the next request is served.
- *with*: what is not in strict form of what the upstream gets.
- *and waits*: the connection was still open after ten seconds.
";

pub(crate) fn run() -> Result<(), Failure> {
    let mut there = Vec::new();
    for (program, package) in [("nginx", "nginx-light"), ("haproxy", "haproxy")] {
        match install::program(program, &[package]) {
            Ok(()) => there.push(program),
            Err(reason) => println!("skipped: {reason}"),
        }
    }
    program::run(&mut command("cargo", &["build", "--quiet", "--package", "portcullis"]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into);
    let binary = root().join(target).join("debug/portcullis").display().to_string();
    let example = ["run", "--quiet", "--package", "portcullis-testkit", "--example", "corpus", "--", &binary];
    let table = output(command("cargo", &example).args(&there))?;
    println!("{}", table.lines().next().unwrap_or_default());
    if there.len() < 2 {
        println!("{RESULTS} stays as it is: it compares all three");
        return Ok(());
    }
    let versions = format!("{}; {}.", version("nginx", "-v")?, version("haproxy", "-v")?);
    fs::write(root().join(RESULTS), format!("{HEADING}\n{versions}\n{table}"))?;
    println!("{RESULTS} is written");
    Ok(())
}

/// What a program says of itself in its first line, on whichever output.
fn version(program: &str, flag: &str) -> Result<String, Failure> {
    let path = std::env::var("PATH").unwrap_or_default();
    let said = command(program, &[flag]).env("PATH", format!("{path}:/usr/sbin")).output()?;
    let said = [said.stdout, said.stderr].concat();
    let first = String::from_utf8_lossy(&said).lines().next().unwrap_or_default().to_owned();
    Ok(first.split(" - ").next().unwrap_or_default().trim_start_matches("nginx version: ").to_owned())
}
