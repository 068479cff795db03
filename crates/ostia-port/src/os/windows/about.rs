//! What a program may want to tell of the system and of itself.

use std::ffi::{CStr, c_char};
use std::io;
use std::time::{Duration, SystemTime};

use windows_sys::Wdk::System::SystemServices::RtlGetVersion;
use windows_sys::Win32::Foundation::FILETIME;
use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleA, GetProcAddress};
use windows_sys::Win32::System::ProcessStatus::{K32GetProcessMemoryInfo, PROCESS_MEMORY_COUNTERS};
use windows_sys::Win32::System::SystemInformation::OSVERSIONINFOW;
use windows_sys::Win32::System::Threading::{GetCurrentProcess, GetProcessHandleCount, GetProcessTimes};

use super::extension::extensions;

/// The version of Windows: major, minor and build (RtlGetVersion, which unlike GetVersion tells the truth to every program).
#[must_use]
pub fn windows_version() -> (u32, u32, u32) {
    // SAFETY: plain data for which zeroes are valid.
    let mut version = unsafe { std::mem::zeroed::<OSVERSIONINFOW>() };
    version.dwOSVersionInfoSize = size_of::<OSVERSIONINFOW>() as u32;
    // SAFETY: a local, as long as it says.
    unsafe { RtlGetVersion(&mut version) };
    (version.dwMajorVersion, version.dwMinorVersion, version.dwBuildNumber)
}

/// The version of Wine, where it is Wine that plays Windows.
#[must_use]
pub fn wine_version() -> Option<String> {
    // SAFETY: both are C strings; every process has ntdll.
    let found = unsafe { GetProcAddress(GetModuleHandleA(c"ntdll.dll".as_ptr().cast()), c"wine_get_version".as_ptr().cast()) };
    // SAFETY: where Wine has this function it has this type.
    let version = unsafe { std::mem::transmute::<_, Option<unsafe extern "C" fn() -> *const c_char>>(found) }?;
    // SAFETY: it answers a C string that lives as long as the process.
    Some(unsafe { CStr::from_ptr(version()) }.to_string_lossy().into_owned())
}

/// The extension functions of Winsock that the driver uses, each with whether this system has it.
#[must_use]
pub fn extension_functions() -> Vec<(&'static str, bool)> {
    extensions().names().into()
}

/// What this process has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessUsage {
    /// When it was started.
    pub started: SystemTime,
    /// Processor time, its own and the system's for it.
    pub cpu: Duration,
    /// Bytes of memory that are in use and resident (the working set).
    pub resident: Option<u64>,
    /// Open handles.
    pub handles: Option<u64>,
}

/// Asks what this process has used (GetProcessTimes, K32GetProcessMemoryInfo, GetProcessHandleCount).
///
/// # Errors
/// What Windows says of the times; what it doesn't tell of the rest is none.
pub fn process_usage() -> io::Result<ProcessUsage> {
    let zero = FILETIME { dwLowDateTime: 0, dwHighDateTime: 0 };
    let (mut started, mut ended, mut kernel, mut user) = (zero, zero, zero, zero);
    // SAFETY: a pseudo-handle that needs no closing.
    let process = unsafe { GetCurrentProcess() };
    // SAFETY: four locals.
    if unsafe { GetProcessTimes(process, &mut started, &mut ended, &mut kernel, &mut user) } == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: plain data for which zeroes are valid.
    let mut memory = unsafe { std::mem::zeroed::<PROCESS_MEMORY_COUNTERS>() };
    // SAFETY: a local, as long as is said.
    let told = unsafe { K32GetProcessMemoryInfo(process, &mut memory, size_of::<PROCESS_MEMORY_COUNTERS>() as u32) };
    let resident = (told != 0).then_some(memory.WorkingSetSize as u64);
    let mut handles = 0;
    // SAFETY: a local.
    let told = unsafe { GetProcessHandleCount(process, &mut handles) };
    let handles = (told != 0).then_some(u64::from(handles));
    Ok(ProcessUsage { started: moment(started), cpu: span(kernel) + span(user), resident, handles })
}

/// A time that Windows counts in units of 100 ns.
fn span(time: FILETIME) -> Duration {
    let units = u64::from(time.dwHighDateTime) << 32 | u64::from(time.dwLowDateTime);
    Duration::from_nanos(units.saturating_mul(100))
}

/// A moment that Windows counts from 1601.
fn moment(time: FILETIME) -> SystemTime {
    const BEFORE_1970: Duration = Duration::from_secs(11_644_473_600);
    SystemTime::UNIX_EPOCH + span(time).saturating_sub(BEFORE_1970)
}
