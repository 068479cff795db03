//! What differs between systems, one folder a system, behind the same names: descriptors, codes of errors, the calls that
//! take raw memory. Everything above speaks these names and doesn't know which system it is on.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(windows)]
mod windows;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(windows)]
use windows as system;

pub use system::codes::*;
pub use system::descriptor::*;
#[cfg(windows)]
pub use system::path::final_path;
pub use system::path::{SystemPath, system_path};

pub(crate) use system::*;
