//! A set that goes with its owner, for tests.
//!
//! Knows when to stop; must not know what is tested.

use std::ops::Deref;
use std::path::Path;

use crate::error::Result;
use crate::progress::Quiet;
use crate::set::{Engines, Options};

/// A set of engines that is stopped and taken away when this is dropped, also by a panic. A test that is killed leaves its
/// set behind; the next one in the same folder takes that away first.
#[derive(Debug)]
pub struct Temporary {
    set: Option<Engines>,
}

impl Temporary {
    /// Brings a set up in `folder`, from nothing.
    ///
    /// # Errors
    /// As [`Engines::up`]; what was started until then is taken away.
    pub fn up(folder: &Path, options: &Options) -> Result<Self> {
        take_away(folder)?;
        match Engines::up(folder, options, &Quiet) {
            Ok(set) => Ok(Self { set: Some(set) }),
            Err(error) => {
                take_away(folder)?;
                Err(error)
            }
        }
    }
}

impl Deref for Temporary {
    type Target = Engines;

    fn deref(&self) -> &Engines {
        self.set.as_ref().expect("it is taken only by the drop")
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.set.take().map(|set| set.wipe(&Quiet)) {
            eprintln!("a set of engines could not be taken away: {error}");
        }
    }
}

fn take_away(folder: &Path) -> Result<()> {
    match Engines::open(folder)? {
        Some(left) => left.wipe(&Quiet),
        None => Ok(()),
    }
}
