//! The locks of this library, and how its flights are spawned: those of the standard library and of tokio.
//!
//! In unit tests a lock that is made inside a model gets a gate beside it, at which shuttle chooses who goes on; so
//! the tests run the very code that runs elsewhere, through every order that the locks allow.

#[cfg(test)]
pub(crate) mod modelled;

use std::future::Future;

use tokio::runtime::Handle;

#[cfg(test)]
pub(crate) use modelled::{Mutex, MutexGuard, RwLock};
#[cfg(not(test))]
pub(crate) use std::sync::{Mutex, MutexGuard, RwLock};

/// Starts a task that nobody waits for.
pub(crate) fn spawn(runtime: &Handle, task: impl Future<Output = ()> + Send + 'static) {
    #[cfg(test)]
    if modelled::is_on() {
        return modelled::spawn(task);
    }
    drop(runtime.spawn(task));
}
