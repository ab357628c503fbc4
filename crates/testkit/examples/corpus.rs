//! The framing corpus through nginx, haproxy and the gateway, side by side, as a Markdown table. Called by
//! `cargo xtask corpus`, with the gateway's binary and the programs that are there as arguments.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "test equipment fails loudly")]

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use portcullis_testkit::corpus::{Case, Outcome, Recorder, Want, exchange};
use portcullis_testkit::{Gateway, Scratch, until};

/// Limits as short as those of the others.
const SETTINGS: &str = "limits: {header_timeout: 0.5, body_idle: 0.5, keep_alive_idle: 0.5}\n";

fn main() {
    let mut args = std::env::args().skip(1);
    let binary = args.next().expect("the gateway's binary");
    let there: Vec<String> = args.collect();
    let mut cases = Case::all();
    // What is left of a request that broke off may reach the upstream late, when the client has gone on already.
    cases.sort_by_key(|case| case.want == Want::Cut);
    let outcomes: Vec<Option<Vec<Outcome>>> = std::thread::scope(|scope| {
        let columns = ["nginx", "haproxy", "portcullis"].map(|name| {
            let (cases, binary) = (&cases, &binary);
            let there = name == "portcullis" || there.iter().any(|program| program == name);
            scope.spawn(move || there.then(|| column(name, binary, cases)))
        });
        columns.into_iter().map(|column| column.join().unwrap()).collect()
    });
    print!("{}", table(&cases, &outcomes));
}

/// What one proxy makes of every case.
fn column(name: &str, binary: &str, cases: &[Case]) -> Vec<Outcome> {
    let recorder = Recorder::start();
    let up = recorder.addr();
    if name == "portcullis" {
        let file = format!(
            "_format_version: '3.0'\n\
             services: [{{name: up, url: 'http://{up}', routes: [{{name: all, paths: [/], strip_path: false}}]}}]\n"
        );
        let gateway = Gateway::builder(binary, &file).settings(SETTINGS).start();
        return cases.iter().map(|case| exchange(case, gateway.addr(), &recorder, usize::MAX)).collect();
    }
    let scratch = Scratch::new();
    let addr = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let _proxy = Proxy::start(name, &scratch, addr, up);
    cases.iter().map(|case| exchange(case, addr, &recorder, usize::MAX)).collect()
}

/// A proxy that is not ours; ended by its id when dropped.
struct Proxy(Child);

impl Proxy {
    fn start(name: &str, scratch: &Scratch, addr: SocketAddr, up: SocketAddr) -> Self {
        let folder = scratch.path().display();
        let file = format!("{folder}/{name}.conf");
        let (text, args) = match name {
            "nginx" => (nginx(&folder.to_string(), addr, up), vec!["-c", &file, "-e", "stderr"]),
            _ => (haproxy(addr, up), vec!["-db", "-f", &file]),
        };
        scratch.write(&format!("{name}.conf"), &text);
        let mut command = Command::new(name);
        let path = std::env::var("PATH").unwrap_or_default();
        command.args(&args).env("PATH", format!("{path}:/usr/sbin")).stdin(Stdio::null());
        // What they log of bad requests is no news here.
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect(name);
        let mut this = Self(child);
        until(name, || {
            let ended = this.0.try_wait().unwrap();
            assert!(ended.is_none(), "{name} ended: {ended:?}");
            TcpStream::connect(addr).ok()
        });
        this
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// As plain as its manual has it; one process, so that its id is the one that was started.
fn nginx(folder: &str, addr: SocketAddr, up: SocketAddr) -> String {
    format!(
        "daemon off; master_process off; pid {folder}/pid; error_log stderr crit;
         events {{}}
         http {{
           client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
           uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
           access_log off; keepalive_timeout 1s; client_header_timeout 1s; client_body_timeout 1s;
           upstream up {{ server {up}; keepalive 8; }}
           server {{
             listen {addr};
             location / {{ proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ''; }}
           }}
         }}"
    )
}

fn haproxy(addr: SocketAddr, up: SocketAddr) -> String {
    format!(
        "defaults\n mode http\n timeout connect 2s\n timeout client 500ms\n timeout server 5s\n \
         timeout http-request 500ms\n timeout http-keep-alive 500ms\n\
         listen all\n bind {addr}\n server up {up}\n"
    )
}

fn table(cases: &[Case], outcomes: &[Option<Vec<Outcome>>]) -> String {
    let mut text = String::new();
    let shown = |column: usize, row: usize| match &outcomes[column] {
        Some(outcomes) => outcomes[row].to_string().replace('|', "\\|"),
        None => "not there".to_owned(),
    };
    let mut groups: Vec<&str> = Vec::new();
    for case in cases {
        if !groups.contains(&case.group.as_str()) {
            groups.push(&case.group);
        }
    }
    writeln!(text, "{}", summary(cases, outcomes)).unwrap();
    for group in groups {
        writeln!(text, "\n## {group}\n\n| case | nginx | haproxy | ours | |\n|---|---|---|---|---|").unwrap();
        for (row, case) in cases.iter().enumerate().filter(|(_, case)| case.group == group) {
            let why = case.why.as_deref().unwrap_or_default();
            let [nginx, haproxy, ours] = [0, 1, 2].map(|column| shown(column, row));
            writeln!(text, "| {} | {nginx} | {haproxy} | {ours} | {why} |", case.name).unwrap();
        }
    }
    text
}

/// The two figures that matter: whether we do what we want, and whether we alone take what others refuse.
fn summary(cases: &[Case], outcomes: &[Option<Vec<Outcome>>]) -> String {
    let Some(ours) = &outcomes[2] else { return "The gateway did not run.".to_owned() };
    let wrong = cases.iter().zip(ours).filter(|(case, ours)| !case.problems(ours).is_empty()).count();
    let mut alone = Vec::new();
    if let [Some(nginx), Some(haproxy)] = &outcomes[..2] {
        for (row, case) in cases.iter().enumerate().filter(|(row, _)| ours[*row].is_forwarded()) {
            if !nginx[row].is_forwarded() && !haproxy[row].is_forwarded() {
                alone.push(format!("{}: {}", case.group, case.name));
            }
        }
    }
    let alone = if alone.is_empty() { "none".to_owned() } else { alone.join("; ") };
    format!("{} cases; {wrong} of ours otherwise than wanted. Forwarded by ours alone: {alone}.", cases.len())
}
