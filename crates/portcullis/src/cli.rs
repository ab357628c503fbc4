//! The command line, as clap reads it. What a flag means stands in `settings`.

use crate::settings::{access_log, listen};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// An API gateway for OAuth 2.0 token introspection: revocable tokens at local-check speed.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, after_help = TOP_EXAMPLES, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show it at work: gateway, authorization server and upstream in one process on loopback
    #[command(after_help = DEMO_EXAMPLES)]
    Demo(DemoArgs),
    /// Run the gateway with a declarative file
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(ServeArgs),
    /// Check a declarative file and draw every problem
    #[command(after_help = CHECK_EXAMPLES)]
    Check(CheckArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Port of the gateway on 127.0.0.1; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 8000)]
    pub port: u16,
}

/// What a flag does not say is taken from the environment, then from the settings file, then from the default.
#[derive(Debug, Default, Args)]
pub(crate) struct ServeArgs {
    /// Kong declarative file, format 3.0: services, routes, consumers, plugins [env: PORTCULLIS_DECLARATIVE]
    #[arg(long, value_name = "FILE")]
    pub declarative: Option<PathBuf>,

    /// Where clients connect: `ADDR:PORT [ssl] [http2]`, several separated by commas; port 0 takes a free one [env:
    /// PORTCULLIS_PROXY_LISTEN] [default: 0.0.0.0:8000]
    #[arg(long, value_name = "ADDR", value_parser = checked(listen::parse_list))]
    pub proxy_listen: Option<String>,

    /// Where /healthz, /readyz and /metrics are served [env: PORTCULLIS_STATUS_LISTEN] [default: 127.0.0.1:8007]
    #[arg(long, value_name = "ADDR", value_parser = checked(listen::parse_plain_list))]
    pub status_listen: Option<String>,

    /// Threads that carry requests, each with a listener of its own [env: PORTCULLIS_WORKERS] [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: Option<u16>,

    /// One JSON line per request: `off`, a file to append to, or `-` for standard output [env:
    /// PORTCULLIS_ACCESS_LOG] [default: off]
    #[arg(long, value_name = "off|PATH|-", value_parser = checked(access_log::parse))]
    pub access_log: Option<String>,

    /// Settings file; examples/portcullis.yaml explains every key [env: PORTCULLIS_SETTINGS]
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Kong declarative file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Print what the data plane would run, as JSON, secrets masked
    #[arg(long)]
    pub print_plan: bool,
}

/// A clap parser that only checks: the text goes on to the settings, which read flag, environment and file alike.
fn checked<T>(
    parse: fn(&str) -> Result<T, String>,
) -> impl Fn(&str) -> Result<String, String> + Clone + Send + Sync + 'static
where
    T: 'static,
{
    move |text| parse(text).map(|_| text.to_owned())
}

const TOP_EXAMPLES: &str = "\
Examples:
  portcullis demo                                   see a token checked, in one process
  portcullis check kong.yaml                        exit status 0, or 1 with every problem
  portcullis serve --declarative kong.yaml          run it

Exit status: 0 done, 1 it could not be done (one message says why), 2 the command line is wrong.";

const DEMO_EXAMPLES: &str = "\
Prints curl lines to paste: without token, get a token, with it, revoke it. Ctrl-C ends it.

Examples:
  portcullis demo
  portcullis demo --port 9000";

const SERVE_EXAMPLES: &str = "\
Each flag can also be an environment variable or a key of the settings file: the flag wins, then the
environment, then the file. PORTCULLIS_LOG=debug logs more, PORTCULLIS_LOG_FORMAT=json|human says how.

Examples:
  portcullis serve --declarative kong.yaml --proxy-listen 127.0.0.1:8000
  portcullis serve --settings portcullis.yaml
  PORTCULLIS_DECLARATIVE=kong.yaml portcullis serve --access-log - --workers 2

Signals:
  SIGHUP            read the declarative file and the certificates again (a change of them is seen by
                    itself, too); open the access log anew
  SIGTERM, SIGINT   let running requests end, then exit with status 0; a second one ends at once";

const CHECK_EXAMPLES: &str = "\
A problem is `file:line:column: path: what is wrong; what to write`, and the line it is about.
Warnings are shown and do not change the exit status.

Examples:
  portcullis check kong.yaml
  portcullis check kong.yaml --print-plan | jq .endpoints";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn wrong_command_lines_are_usage_errors() {
        let rows: [(&[&str], ErrorKind, &str); 6] = [
            (&["serve", "--no-such"], ErrorKind::UnknownArgument, "--no-such"),
            (&["serve", "--workers", "0"], ErrorKind::ValueValidation, "--workers"),
            (&["serve", "--proxy-listen", "8000"], ErrorKind::ValueValidation, "ADDR:PORT"),
            (&["serve", "--status-listen", "127.0.0.1:8443 ssl"], ErrorKind::ValueValidation, "ssl"),
            (&["demo", "--port", "70000"], ErrorKind::ValueValidation, "70000"),
            (&["check"], ErrorKind::MissingRequiredArgument, "FILE"),
        ];
        for (args, kind, mentions) in rows {
            let all = std::iter::once("portcullis").chain(args.iter().copied());
            let error = Cli::try_parse_from(all).expect_err(mentions);
            assert_eq!((error.kind(), error.exit_code()), (kind, 2), "{args:?}");
            assert!(error.to_string().contains(mentions), "{args:?}: {error}");
        }
    }
}
