//! Numbers that other parts keep, asked for at each scrape.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Functions that say a number, or several.
pub(super) struct Sources<T>(Mutex<Vec<Source<T>>>);

type Source<T> = Box<dyn Fn() -> T + Send + Sync>;

impl<T> Sources<T> {
    pub(super) fn add(&self, source: impl Fn() -> T + Send + Sync + 'static) {
        self.lock().push(Box::new(source));
    }

    /// What each of them says now.
    pub(super) fn ask(&self) -> impl Iterator<Item = T> + use<T> {
        let answers: Vec<T> = self.lock().iter().map(|source| source()).collect();
        answers.into_iter()
    }

    /// A list that is only ever added to is whole at any moment.
    fn lock(&self) -> MutexGuard<'_, Vec<Source<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Default for Sources<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> fmt::Debug for Sources<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sources", self.lock().len())
    }
}
