//! Who calls.

/// The system's name of the calling thread, blanks replaced. This module has a standard
/// library of its own, which does not know the program's threads.
#[cfg(target_os = "linux")]
pub(crate) fn thread_name() -> String {
    let mut name = [0u8; 16];
    // SAFETY: the call writes at most 16 bytes, the ending zero included (prctl(2)).
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    let end = name.iter().position(|&byte| byte == 0);
    let name = String::from_utf8_lossy(&name[..end.unwrap_or(name.len())]);
    name.replace(char::is_whitespace, "_")
}

/// Elsewhere all threads are one.
#[cfg(not(target_os = "linux"))]
pub(crate) fn thread_name() -> String {
    "unknown".to_owned()
}
