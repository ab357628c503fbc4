//! Measurements: programs side by side on the same machine, under the same load, in turns.

mod bodies;
mod body;
mod bulkhead;
pub(crate) mod certificate;
mod clients;
mod cold;
mod conns;
mod consumers;
pub(crate) mod contestant;
mod cores;
pub(crate) mod figures;
mod gateway;
pub(crate) mod ground;
pub(crate) mod h2load;
mod hot;
mod instructions;
mod load;
mod memory;
mod million;
mod old_new;
pub(crate) mod parts;
mod process;
mod reload;
mod routes;
pub(crate) mod scratch;
mod server;
mod spread;
mod stampede;
mod tls;

use clap::Subcommand;

use crate::Failure;

#[derive(Subcommand)]
pub(crate) enum Bench {
    /// CPU microseconds per request with a cached token, beside nginx that checks nothing
    Hot(hot::Options),
    /// The same with 10,000 cached tokens, beside one
    Spread(ground::Options),
    /// Each request brings a new token, and the authorization server answers at once
    Cold(ground::Options),
    /// 500 clients bring one new token at once
    Stampede(ground::Options),
    /// A cached token is used while 400 requests hang on the authorization server
    Bulkhead(ground::Options),
    /// 1,000,000 cached tokens: memory, CPU, and many bad tokens on top
    Million(million::Options),
    /// One route beside 1,000 and 100,000: by prefix, regular expression, host
    Routes(ground::Options),
    /// A file of 10,000 routes with plugins is replaced under load
    Reload(ground::Options),
    /// Bodies of 1 MB and 1 GB, each way: throughput, and memory at its peak
    Body(body::Options),
    /// Memory of 10,000 idle connections and of 1,000 busy ones, beside haproxy
    Conns(ground::Options),
    /// 1,000,000 consumers, 1,000 of them with a plugin, beside 10,000
    Consumers(ground::Options),
    /// Two workers beside one
    Cores(ground::Options),
    /// The hot path over TLS, beside nginx with the same cipher and key
    Tls(ground::Options),
    /// The hot path over HTTP/2, with TLS and without
    H2(ground::Options),
    /// `hot` with another binary beside: is it no slower than before?
    OldNew(old_new::Options),
    /// User instructions of a request with a cached token, beside the committed baseline
    Instructions(instructions::Options),
    /// User instructions of the parts of such a request, beside their committed baseline
    Parts(parts::Options),
    /// All of them but `instructions`, `parts` and `old-new`, one after the other
    All(ground::Options),
}

pub(crate) fn run(what: &Bench) -> Result<(), Failure> {
    match what {
        Bench::Hot(options) => hot::run(options),
        Bench::Spread(options) => spread::run(options),
        Bench::Cold(options) => cold::run(options),
        Bench::Stampede(options) => stampede::run(options),
        Bench::Bulkhead(options) => bulkhead::run(options),
        Bench::Million(options) => million::run(options),
        Bench::Routes(options) => routes::run(options),
        Bench::Reload(options) => reload::run(options),
        Bench::Body(options) => body::run(options),
        Bench::Conns(options) => conns::run(options),
        Bench::Consumers(options) => consumers::run(options),
        Bench::Cores(options) => cores::run(options),
        Bench::Tls(options) => tls::tls(options),
        Bench::H2(options) => tls::h2(options),
        Bench::OldNew(options) => old_new::run(options),
        Bench::Instructions(options) => instructions::run(options),
        Bench::Parts(options) => parts::run(options),
        Bench::All(ground) => {
            hot::run(&hot::Options::of(ground))?;
            spread::run(ground)?;
            cold::run(ground)?;
            stampede::run(ground)?;
            bulkhead::run(ground)?;
            million::run(&million::Options::of(ground))?;
            routes::run(ground)?;
            reload::run(ground)?;
            body::run(&body::Options::of(ground))?;
            conns::run(ground)?;
            consumers::run(ground)?;
            cores::run(ground)?;
            tls::tls(ground)?;
            tls::h2(ground)
        }
    }
}
