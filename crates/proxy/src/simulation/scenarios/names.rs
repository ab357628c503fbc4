//! Names that are not answered, do not exist, or move.

use super::*;

/// A request waits for the first answer of a name as long as for a connection.
#[test]
fn nobody_answers() {
    simulate(
        &plan("http://svc.test"),
        async |gateway| {
            say("svc.test", Says::Nothing);
            let mut client = gateway.client();
            ask(&mut client).await;
            at(5000).await;
            ask(&mut client).await;
            say("svc.test", Says::At(&[UP], 60));
            serve(UP, well);
            at(20_500).await;
            ask(&mut client).await;
            at(21_500).await;
            ask(&mut client).await;
        },
        "
                0 client#1 says GET / HTTP/1.1
                0 gateway asks for svc.test
             1000 client#1 gets 503
             5000 client#1 says GET / HTTP/1.1
             6000 client#1 gets 503
            20500 client#1 says GET / HTTP/1.1
            20500 client#1 gets 503
            21000 gateway asks for svc.test
            21500 client#1 says GET / HTTP/1.1
            21500 gateway opens 10.0.0.1#1
            21500 10.0.0.1#1 answers GET /
            21500 client#1 gets 200 ok
                  kept: 10.0.0.1
        ",
    );
}

/// Pauses between the questions double, up to 8 s; nobody waits for them.
#[test]
fn does_not_exist_and_then_does() {
    simulate(
        &plan("http://svc.test"),
        async |gateway| {
            let mut client = gateway.client();
            ask(&mut client).await;
            at(30_000).await;
            ask(&mut client).await;
            serve(UP, well);
            say("svc.test", Says::At(&[UP], 60));
            at(40_000).await;
            ask(&mut client).await;
        },
        "
                0 client#1 says GET / HTTP/1.1
                0 gateway asks for svc.test
                0 client#1 gets 503
             1000 gateway asks for svc.test
             3000 gateway asks for svc.test
             7000 gateway asks for svc.test
            15000 gateway asks for svc.test
            23000 gateway asks for svc.test
            30000 client#1 says GET / HTTP/1.1
            30000 client#1 gets 503
            31000 gateway asks for svc.test
            40000 client#1 says GET / HTTP/1.1
            40000 gateway opens 10.0.0.1#1
            40000 10.0.0.1#1 answers GET /
            40000 client#1 gets 200 ok
                  kept: 10.0.0.1
        ",
    );
}

/// The connection to the old address is still open, and not used.
#[test]
fn moves() {
    simulate(
        &plan("http://svc.test"),
        async |gateway| {
            say("svc.test", Says::At(&[UP], 5));
            serve(UP, well);
            serve("10.0.0.2", well);
            let mut client = gateway.client();
            ask(&mut client).await;
            say("svc.test", Says::At(&["10.0.0.2"], 5));
            at(4900).await;
            ask(&mut client).await;
            at(5100).await;
            ask(&mut client).await;
        },
        "
               0 client#1 says GET / HTTP/1.1
               0 gateway asks for svc.test
               0 gateway opens 10.0.0.1#1
               0 10.0.0.1#1 answers GET /
               0 client#1 gets 200 ok
            4900 client#1 says GET / HTTP/1.1
            4900 10.0.0.1#1 answers GET /
            4900 client#1 gets 200 ok
            5000 gateway asks for svc.test
            5100 client#1 says GET / HTTP/1.1
            5100 gateway closes 10.0.0.1#1
            5100 gateway opens 10.0.0.2#1
            5100 10.0.0.2#1 answers GET /
            5100 client#1 gets 200 ok
                 kept: 10.0.0.2
        ",
    );
}

/// A ttl of 0 is a question a second, not one per request.
#[test]
fn is_good_for_no_time_at_all() {
    simulate(
        &plan("http://svc.test"),
        async |gateway| {
            say("svc.test", Says::At(&[UP], 0));
            serve(UP, well);
            let mut client = gateway.client();
            for moment in [0, 300, 900] {
                at(moment).await;
                ask(&mut client).await;
            }
            at(2500).await;
        },
        "
               0 client#1 says GET / HTTP/1.1
               0 gateway asks for svc.test
               0 gateway opens 10.0.0.1#1
               0 10.0.0.1#1 answers GET /
               0 client#1 gets 200 ok
             300 client#1 says GET / HTTP/1.1
             300 10.0.0.1#1 answers GET /
             300 client#1 gets 200 ok
             900 client#1 says GET / HTTP/1.1
             900 10.0.0.1#1 answers GET /
             900 client#1 gets 200 ok
            1000 gateway asks for svc.test
            2000 gateway asks for svc.test
                 kept: 10.0.0.1
        ",
    );
}

/// What is known is used on, for an hour.
#[test]
fn is_not_answered_any_more() {
    simulate(
        &plan("http://svc.test"),
        async |gateway| {
            say("svc.test", Says::At(&[UP], 2000));
            serve(UP, well);
            let mut client = gateway.client();
            ask(&mut client).await;
            client.closes();
            at(1_999_000).await;
            say("svc.test", Says::Unknown);
            at(2_002_000).await;
            ask(&mut gateway.client()).await;
            say("svc.test", Says::Nothing);
            at(5_500_000).await;
            ask(&mut gateway.client()).await;
            at(5_630_000).await;
            ask(&mut gateway.client()).await;
        },
        "
                  0 client#1 says GET / HTTP/1.1
                  0 gateway asks for svc.test
                  0 gateway opens 10.0.0.1#1
                  0 10.0.0.1#1 answers GET /
                  0 client#1 gets 200 ok
                  0 client#1 closes
                  0 gateway closes client#1
              60000 gateway closes 10.0.0.1#1
            2000000 gateway asks for svc.test
            2001000 gateway asks for svc.test
            2002000 client#2 says GET / HTTP/1.1
            2002000 gateway opens 10.0.0.1#2
            2002000 10.0.0.1#2 answers GET /
            2002000 client#2 gets 200 ok
            2002000 gateway closes client#2
            2003000 gateway asks for svc.test
            2027000 gateway asks for svc.test
            2055000 gateway asks for svc.test
            2062000 gateway closes 10.0.0.1#2
            2083000 to 5499000 gateway asks for svc.test (123 times)
            5500000 client#3 says GET / HTTP/1.1
            5500000 gateway opens 10.0.0.1#3
            5500000 10.0.0.1#3 answers GET /
            5500000 client#3 gets 200 ok
            5500000 gateway closes client#3
            5527000 gateway asks for svc.test
            5555000 gateway asks for svc.test
            5560000 gateway closes 10.0.0.1#3
            5583000 gateway asks for svc.test
            5611000 gateway asks for svc.test
            5630000 client#4 says GET / HTTP/1.1
            5630000 client#4 gets 503
        ",
    );
}

/// Each address of a name gets its turn; one that refuses costs a request nothing but the next one.
#[test]
fn one_of_two_addresses_is_dead() {
    simulate(
        &plan("http://svc.test"),
        async |gateway| {
            say("svc.test", Says::At(&["10.0.0.2", UP], 60));
            serve("10.0.0.2", well);
            let mut client = gateway.client();
            ask(&mut client).await;
            ask(&mut client).await;
        },
        "
            0 client#1 says GET / HTTP/1.1
            0 gateway asks for svc.test
            0 10.0.0.1 refuses
            0 gateway opens 10.0.0.2#1
            0 10.0.0.2#1 answers GET /
            0 client#1 gets 200 ok
            0 client#1 says GET / HTTP/1.1
            0 10.0.0.2#1 answers GET /
            0 client#1 gets 200 ok
              kept: 10.0.0.2
        ",
    );
}
