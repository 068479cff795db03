//! What differs between systems, one folder a system, behind the same names: descriptors, codes of errors, the calls that
//! take raw memory. Everything above speaks these names and doesn't know which system it is on.

#[cfg(all(unix, not(target_os = "linux")))]
mod bsd;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(all(unix, not(target_os = "linux")))]
use bsd as system;
#[cfg(target_os = "linux")]
use linux as system;
#[cfg(windows)]
use windows as system;

#[cfg(windows)]
pub use windows::about::{ProcessUsage, extension_functions, process_usage, windows_version, wine_version};
#[cfg(windows)]
pub use windows::identity::{FileIdentity, file_identity, final_path};

pub use system::codes::*;
pub use system::descriptor::*;
pub use system::path::{SystemPath, system_path};

pub(crate) use system::*;
