//! What the hit path costs: `cargo test --release -p portcullis-introspection -- --ignored --nocapture speed`.

use std::hint::black_box;
use std::time::Duration;

use portcullis_introspection::{Call, Lookup, Requirement, Standard};

use crate::server::{Server, json};

const ANSWER: &str = r#"{"active":true,"scope":"read write","client_id":"app","username":"zoe","token_type":"Bearer","exp":4102444800,"iat":1795207033,"nbf":1795207033,"sub":"248289761001","aud":["https://api.example"],"iss":"https://as.example","jti":"0d5b1b1e-8d6d-4f6b-9c3f-1d2f4c5b6a79"}"#;

#[tokio::test]
#[ignore = "a measurement: prints, asserts nothing tight"]
#[allow(clippy::print_stdout)]
async fn speed_of_a_hit() {
    const ROUNDS: u64 = 1_000_000;
    let server = Server::always(json(ANSWER)).await;
    let introspector = server.introspector();
    for length in [43, 900] {
        let token = "t".repeat(length);
        introspector.introspect(&token).await.unwrap();
        let ttl = Duration::from_secs(60);
        let timed = |work: &mut dyn FnMut()| {
            let began = cpu_nanos();
            (0..ROUNDS).for_each(|_| work());
            (cpu_nanos() - began) / ROUNDS
        };
        let Lookup::Hit(hit) = introspector.lookup(&Call::new(&token), ttl) else { panic!("a miss") };
        let requirement = Requirement::default().scopes(["read"]);
        let now = introspector.cache().clock().wall();
        let lookup = timed(&mut || drop(black_box(introspector.lookup(&Call::new(black_box(&token)), ttl))));
        let check = timed(&mut || requirement.check(black_box(&hit.answer), now).unwrap());
        let headers = timed(&mut || {
            for member in Standard::ALL {
                drop(black_box(hit.answer.header_value(member)));
            }
        });
        println!("token of {length} bytes: lookup {lookup} ns, requirement {check} ns, 11 header values {headers} ns");
    }
    println!("weight {} for {} bytes of JSON", weight(), ANSWER.len());
}

/// CPU time of this thread, which other processes do not lengthen. Linux alone has it there.
fn cpu_nanos() -> u64 {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    schedstat.split(' ').next().unwrap().parse().unwrap()
}

fn weight() -> usize {
    portcullis_introspection::Answer::from_json(ANSWER.as_bytes()).unwrap().weight()
}
