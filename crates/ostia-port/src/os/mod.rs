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

#[cfg(windows)]
pub use windows::about::{ProcessUsage, extension_functions, process_usage, windows_version, wine_version};
#[cfg(windows)]
pub use windows::identity::{FileIdentity, file_identity, final_path};

pub use system::codes::*;
pub use system::descriptor::*;
pub use system::path::{SystemPath, system_path};

pub(crate) use system::*;
