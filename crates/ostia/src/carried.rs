//! Errors with more to say, inside of an `io::Error` of the same kind.

use std::error::Error;
use std::io;

/// The error of this type that an `io::Error` carries, if it carries one.
pub(crate) fn carried<E: Error + 'static>(error: &io::Error) -> Option<&E> {
    error.get_ref()?.downcast_ref()
}

/// Has an `io::Error` carry what `more` makes of it. One that carries such an error already is left as it is.
#[cold]
pub(crate) fn carry<E: Error + Send + Sync + 'static>(source: io::Error, more: impl FnOnce(io::Error) -> E) -> io::Error {
    if carried::<E>(&source).is_some() {
        return source;
    }
    let kind = source.kind();
    io::Error::new(kind, more(source))
}
