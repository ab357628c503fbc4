//! Locks with a gate that shuttle schedules, for those made inside a model; plain ones otherwise.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::sync::{LockResult, PoisonError};

use shuttle::future::JoinHandle;

thread_local! {
    static ON: Cell<bool> = const { Cell::new(false) };
    static SPAWNED: RefCell<Vec<JoinHandle<()>>> = const { RefCell::new(Vec::new()) };
}

/// Whether this thread runs a model.
pub(crate) fn is_on() -> bool {
    ON.get()
}

/// Runs one execution of a model.
pub(crate) fn run(model: impl FnOnce()) {
    ON.set(true);
    SPAWNED.take();
    model();
    ON.set(false);
}

/// Waits until everything that was spawned has ended.
pub(crate) fn finish() {
    // Taken out one by one: what runs may spawn more.
    while let Some(task) = SPAWNED.with_borrow_mut(Vec::pop) {
        shuttle::future::block_on(task).expect("a task that ends");
    }
}

pub(super) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    let task = shuttle::future::spawn(task);
    SPAWNED.with_borrow_mut(|spawned| spawned.push(task));
}

#[derive(Debug)]
pub(crate) struct Mutex<T> {
    lock: std::sync::Mutex<T>,
    gate: Option<shuttle::sync::Mutex<()>>,
}

/// The value's guard goes before that of the gate.
pub(crate) struct MutexGuard<'a, T> {
    value: std::sync::MutexGuard<'a, T>,
    _gate: Option<shuttle::sync::MutexGuard<'a, ()>>,
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { lock: std::sync::Mutex::new(value), gate: is_on().then(shuttle::sync::Mutex::default) }
    }

    pub(crate) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        let _gate = self.gate.as_ref().map(|gate| gate.lock().unwrap_or_else(PoisonError::into_inner));
        match self.lock.lock() {
            Ok(value) => Ok(MutexGuard { value, _gate }),
            Err(poisoned) => Err(PoisonError::new(MutexGuard { value: poisoned.into_inner(), _gate })),
        }
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

/// At the gate of a model readers pass beside each other, as they do here.
#[derive(Debug)]
pub(crate) struct RwLock<T> {
    lock: std::sync::RwLock<T>,
    gate: Option<shuttle::sync::RwLock<()>>,
}

/// A guard of either kind beside that of its gate.
pub(crate) struct Gated<V, G> {
    value: V,
    _gate: Option<G>,
}

type Read<'a, T> = Gated<std::sync::RwLockReadGuard<'a, T>, shuttle::sync::RwLockReadGuard<'a, ()>>;
type Write<'a, T> = Gated<std::sync::RwLockWriteGuard<'a, T>, shuttle::sync::RwLockWriteGuard<'a, ()>>;

impl<T> RwLock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { lock: std::sync::RwLock::new(value), gate: is_on().then(shuttle::sync::RwLock::default) }
    }

    pub(crate) fn read(&self) -> LockResult<Read<'_, T>> {
        let _gate = self.gate.as_ref().map(|gate| gate.read().unwrap_or_else(PoisonError::into_inner));
        match self.lock.read() {
            Ok(value) => Ok(Gated { value, _gate }),
            Err(poisoned) => Err(PoisonError::new(Gated { value: poisoned.into_inner(), _gate })),
        }
    }

    pub(crate) fn write(&self) -> LockResult<Write<'_, T>> {
        let _gate = self.gate.as_ref().map(|gate| gate.write().unwrap_or_else(PoisonError::into_inner));
        match self.lock.write() {
            Ok(value) => Ok(Gated { value, _gate }),
            Err(poisoned) => Err(PoisonError::new(Gated { value: poisoned.into_inner(), _gate })),
        }
    }
}

impl<V: Deref, G> Deref for Gated<V, G> {
    type Target = V::Target;

    fn deref(&self) -> &V::Target {
        &self.value
    }
}

impl<V: DerefMut, G> DerefMut for Gated<V, G> {
    fn deref_mut(&mut self) -> &mut V::Target {
        &mut self.value
    }
}
