//! Who is where in a simulation, and what comes of connecting there.

use super::chronicle::note;
use super::party::Party;
use super::socket::TcpStream;
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;

thread_local! {
    static PLACES: RefCell<HashMap<IpAddr, Place>> = RefCell::default();
}

/// One address, whatever the port.
#[derive(Clone)]
struct Place {
    manner: Manner,
    connections: usize,
}

/// What connecting there comes to.
#[derive(Clone)]
enum Manner {
    Serves(Host),
    Silent,
    Refuses,
}

/// What a server does with a connection.
type Host = Rc<dyn Fn(Party) -> Pin<Box<dyn Future<Output = ()>>>>;

/// What comes of connecting.
pub(super) enum Dialed {
    Connected(TcpStream),
    Refused,
    Nothing,
}

pub(super) fn begin() {
    PLACES.take();
}

/// From now on there is a server at `address`: each connection is a task of it, which runs `host`.
pub(super) fn serve(address: &str, host: impl AsyncFn(Party) + 'static) {
    let host = Rc::new(host);
    let host: Host = Rc::new(move |party| {
        let host = host.clone();
        Box::pin(async move { host(party).await })
    });
    place(address, Manner::Serves(host));
}

/// From now on connections to `address` are neither made nor refused.
pub(super) fn silent(address: &str) {
    place(address, Manner::Silent);
}

/// From now on connections to `address` are refused, as they are where nobody has ever been.
pub(super) fn gone(address: &str) {
    place(address, Manner::Refuses);
}

fn place(address: &str, manner: Manner) {
    let address: IpAddr = address.parse().unwrap();
    PLACES.with_borrow_mut(|places| {
        let connections = places.get(&address).map_or(0, |place| place.connections);
        places.insert(address, Place { manner, connections });
    });
}

pub(super) fn dial(address: SocketAddr) -> Dialed {
    let place = PLACES.with_borrow_mut(|places| {
        let place = places.get_mut(&address.ip())?;
        place.connections += usize::from(matches!(place.manner, Manner::Serves(_)));
        Some(place.clone())
    });
    let ip = address.ip();
    let Some(Place { manner, connections }) = place else {
        note(format_args!("{ip} refuses"));
        return Dialed::Refused;
    };
    match manner {
        Manner::Refuses => {
            note(format_args!("{ip} refuses"));
            Dialed::Refused
        }
        Manner::Silent => {
            note(format_args!("{ip} is not reached"));
            Dialed::Nothing
        }
        Manner::Serves(host) => {
            let name = format!("{ip}#{connections}");
            note(format_args!("gateway opens {name}"));
            let (ours, theirs) = TcpStream::pair(&name, address);
            tokio::task::spawn_local(host(Party::new(name, theirs)));
            Dialed::Connected(ours)
        }
    }
}
