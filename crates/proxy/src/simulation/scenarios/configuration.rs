//! Configurations that do not load, and such as load while a request is under way.

use super::*;

/// The service after a reload.
const NEW: &str = "10.0.0.2";

/// Answers a second after it was asked.
async fn takes_a_second(mut up: Party) {
    while up.asked().await {
        tokio::time::sleep(Duration::from_secs(1)).await;
        up.says(OK).await;
    }
}

fn load(gateway: &Gateway, plan: &str) {
    match gateway.load(plan) {
        problems if problems.is_empty() => note("gateway loads"),
        problems => note(format_args!("gateway keeps its configuration: {}", problems.trim())),
    }
}

/// Neither what is under way nor what comes next notices.
#[test]
fn does_not_load() {
    simulate(
        &plan("http://10.0.0.1"),
        async |gateway| {
            serve(UP, takes_a_second);
            let mut client = gateway.client();
            client.says(GET).await;
            at(300).await;
            load(gateway, "_format_version: \"3.0\"\nservices: [");
            load(gateway, &plan("nonsense://10.0.0.2"));
            // Reads well; a plugin cannot be built of it.
            load(gateway, &(plan("http://10.0.0.2") + "  plugins:\n  - name: hesitate\n    config: { millis: 4000000 }\n"));
            client.answered().await;
            at(1500).await;
            ask(&mut client).await;
        },
        "
               0 client#1 says GET / HTTP/1.1
               0 gateway opens 10.0.0.1#1
               0 10.0.0.1#1 is asked GET /
             300 gateway keeps its configuration: 2:11: unclosed bracket '['
             300 gateway keeps its configuration: 4:8: services[0].url: expected one of: grpc, grpcs, http, https, tcp, tls, tls_passthrough, udp; write for example protocol: https, or leave it out for \"http\"
             300 gateway keeps its configuration: services[0].plugins[0].config.millis: too long
            1000 10.0.0.1#1 says HTTP/1.1 200 OK
            1000 client#1 gets 200 ok
            1500 client#1 says GET / HTTP/1.1
            1500 10.0.0.1#1 is asked GET /
            2500 10.0.0.1#1 says HTTP/1.1 200 OK
            2500 client#1 gets 200 ok
                 kept: 10.0.0.1
        ",
    );
}

/// What has begun ends under the configuration that it began with; a connection that nobody uses any more is kept for
/// as long as any other.
#[test]
fn is_replaced_inside_a_request() {
    simulate(
        &plan("http://10.0.0.1"),
        async |gateway| {
            serve(UP, takes_a_second);
            serve(NEW, takes_a_second);
            let (mut before, mut after) = (gateway.client(), gateway.client());
            before.says(GET).await;
            at(300).await;
            load(gateway, &plan("http://10.0.0.2"));
            after.says(GET).await;
            before.answered().await;
            after.answered().await;
            before.says(GET).await;
            before.answered().await;
        },
        "
               0 client#1 says GET / HTTP/1.1
               0 gateway opens 10.0.0.1#1
               0 10.0.0.1#1 is asked GET /
             300 gateway loads
             300 client#2 says GET / HTTP/1.1
             300 gateway opens 10.0.0.2#1
             300 10.0.0.2#1 is asked GET /
            1000 10.0.0.1#1 says HTTP/1.1 200 OK
            1000 client#1 gets 200 ok
            1300 10.0.0.2#1 says HTTP/1.1 200 OK
            1300 client#2 gets 200 ok
            1300 client#1 says GET / HTTP/1.1
            1300 10.0.0.2#1 is asked GET /
            2300 10.0.0.2#1 says HTTP/1.1 200 OK
            2300 client#1 gets 200 ok
                 kept: 10.0.0.1
                 kept: 10.0.0.2
        ",
    );
}

/// While a plugin waits: the service is that of the configuration in which the decision began.
#[test]
fn is_replaced_inside_a_decision() {
    let hesitates = |url| plan(url) + "  plugins:\n  - name: hesitate\n    config: { millis: 500 }\n";
    simulate(
        &hesitates("http://10.0.0.1"),
        async |gateway| {
            serve(UP, well);
            serve(NEW, well);
            let mut client = gateway.client();
            client.says(GET).await;
            at(100).await;
            load(gateway, &plan("http://10.0.0.2"));
            client.answered().await;
            ask(&mut client).await;
        },
        "
              0 client#1 says GET / HTTP/1.1
            100 gateway loads
            500 gateway opens 10.0.0.1#1
            500 10.0.0.1#1 answers GET /
            500 client#1 gets 200 ok
            500 client#1 says GET / HTTP/1.1
            500 gateway opens 10.0.0.2#1
            500 10.0.0.2#1 answers GET /
            500 client#1 gets 200 ok
                kept: 10.0.0.1
                kept: 10.0.0.2
        ",
    );
}

/// The same addresses after a reload: the connections that are kept are the same, too.
#[test]
fn is_replaced_by_one_with_the_same_service() {
    simulate(
        &plan("http://10.0.0.1"),
        async |gateway| {
            serve(UP, well);
            let mut client = gateway.client();
            ask(&mut client).await;
            load(gateway, &plan("http://10.0.0.1").replace("read_timeout: 2000", "read_timeout: 2500"));
            ask(&mut client).await;
        },
        "
            0 client#1 says GET / HTTP/1.1
            0 gateway opens 10.0.0.1#1
            0 10.0.0.1#1 answers GET /
            0 client#1 gets 200 ok
            0 gateway loads
            0 client#1 says GET / HTTP/1.1
            0 10.0.0.1#1 answers GET /
            0 client#1 gets 200 ok
              kept: 10.0.0.1
        ",
    );
}

/// The routes have gone: what is under way has its answer.
#[test]
fn is_replaced_by_one_without_routes() {
    simulate(
        &plan("http://10.0.0.1"),
        async |gateway| {
            serve(UP, takes_a_second);
            let mut client = gateway.client();
            client.says(GET).await;
            at(300).await;
            load(gateway, "_format_version: \"3.0\"\n");
            client.answered().await;
            ask(&mut client).await;
        },
        "
               0 client#1 says GET / HTTP/1.1
               0 gateway opens 10.0.0.1#1
               0 10.0.0.1#1 is asked GET /
             300 gateway loads
            1000 10.0.0.1#1 says HTTP/1.1 200 OK
            1000 client#1 gets 200 ok
            1000 client#1 says GET / HTTP/1.1
            1000 client#1 gets 404
                 kept: 10.0.0.1
        ",
    );
}
