//! The world outside: sockets, and whoever is asked for names. In unit tests both belong to a simulated network.

#[cfg(not(test))]
mod lookup;

#[cfg(test)]
pub(crate) use crate::simulation::names::Lookup;
#[cfg(test)]
pub(crate) use crate::simulation::socket::{TcpListener, TcpStream};
#[cfg(not(test))]
pub(crate) use lookup::Lookup;
#[cfg(not(test))]
pub(crate) use tokio::net::{TcpListener, TcpStream};
