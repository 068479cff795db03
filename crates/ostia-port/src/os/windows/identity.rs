//! Which file is open: its path, and what tells it from every other.

use std::ffi::OsString;
use std::io;
use std::os::windows::ffi::OsStringExt;
use std::os::windows::io::{AsHandle, AsRawHandle};
use std::path::PathBuf;

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::Storage::FileSystem::{
    BY_HANDLE_FILE_INFORMATION, FILE_BASIC_INFO, FILE_ID_INFO, FILE_INFO_BY_HANDLE_CLASS, FILE_NAME_NORMALIZED, FileBasicInfo,
    FileIdInfo, GetFileInformationByHandle, GetFileInformationByHandleEx, GetFinalPathNameByHandleW, VOLUME_NAME_DOS,
};

/// The path of what is open, every link on the way resolved and every name as its directory has it (long, in its own case), in the
/// form that begins with `\\?\` (GetFinalPathNameByHandleW).
///
/// # Errors
/// What Windows says; of a file that has been deleted ERROR_PATH_NOT_FOUND or ERROR_ACCESS_DENIED.
pub fn final_path(file: &impl AsHandle) -> io::Result<PathBuf> {
    let handle = file.as_handle().as_raw_handle();
    let mut path = vec![0u16; 512];
    loop {
        let room = path.len() as u32;
        // SAFETY: the handle is open while it is borrowed, and the buffer as long as is said.
        let len = unsafe { GetFinalPathNameByHandleW(handle, path.as_mut_ptr(), room, FILE_NAME_NORMALIZED | VOLUME_NAME_DOS) }
            as usize;
        match len {
            0 => return Err(io::Error::last_os_error()),
            // Without its NUL where it fits, with it where it does not.
            _ if len < path.len() => return Ok(OsString::from_wide(&path[..len]).into()),
            _ => path.resize(len + 1, 0),
        }
    }
}

/// What Windows tells of an open file in a record of one class; none if it does not (GetFileInformationByHandleEx).
///
/// # Safety
/// The handle is open, and `T` is the plain record of that class.
pub(super) unsafe fn information<T: Copy>(handle: HANDLE, class: FILE_INFO_BY_HANDLE_CLASS) -> Option<T> {
    // SAFETY: plain data for which zeroes are valid, by the caller's promise.
    let mut record = unsafe { std::mem::zeroed::<T>() };
    // SAFETY: by the caller's promise; the record is a local of the length said.
    let told = unsafe { GetFileInformationByHandleEx(handle, class, (&raw mut record).cast(), size_of::<T>() as u32) };
    (told != 0).then_some(record)
}

/// What tells a file from every other, and one state of it from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileIdentity {
    /// The volume's serial number.
    pub volume: u64,
    /// The file's number on it.
    pub file: u128,
    /// The last change of contents or metadata, in units of 100 ns since 1601; 0 where the file system doesn't tell.
    pub changed: i64,
}

/// Asks which file is open (FileIdInfo, FileBasicInfo).
///
/// # Errors
/// What Windows says.
pub fn file_identity(file: &impl AsHandle) -> io::Result<FileIdentity> {
    let handle = file.as_handle().as_raw_handle();
    // SAFETY: the handle is open while it is borrowed; the record is of the class asked for.
    let basic = unsafe { information::<FILE_BASIC_INFO>(handle, FileBasicInfo) };
    let changed = basic.ok_or_else(io::Error::last_os_error)?.ChangeTime;
    // SAFETY: as above.
    if let Some(id) = unsafe { information::<FILE_ID_INFO>(handle, FileIdInfo) } {
        return Ok(FileIdentity { volume: id.VolumeSerialNumber, file: u128::from_le_bytes(id.FileId.Identifier), changed });
    }
    // File systems that know no numbers of 128 bits (FAT, some network drives).
    // SAFETY: plain data for which zeroes are valid.
    let mut info = unsafe { std::mem::zeroed::<BY_HANDLE_FILE_INFORMATION>() };
    // SAFETY: the handle is open, and the record a local.
    if unsafe { GetFileInformationByHandle(handle, &mut info) } == 0 {
        return Err(io::Error::last_os_error());
    }
    let file = u128::from(info.nFileIndexHigh) << 32 | u128::from(info.nFileIndexLow);
    Ok(FileIdentity { volume: info.dwVolumeSerialNumber.into(), file, changed })
}
