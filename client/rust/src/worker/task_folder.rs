//! A folder for the files of one task, through which a command tells its result and its error.

use std::ffi::{CString, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

const RESULT_BYTES: u64 = 1 << 20;

/// Goes with its task, and with all that is in it.
pub(super) struct TaskFolder(PathBuf);

impl TaskFolder {
    pub(super) fn new() -> io::Result<Self> {
        let pattern = std::env::temp_dir().join("br-task-XXXXXX");
        let mut name = CString::new(pattern.as_os_str().as_bytes())?.into_bytes_with_nul();
        // SAFETY: a string with its end, which mkdtemp changes in place.
        if unsafe { libc::mkdtemp(name.as_mut_ptr().cast()) }.is_null() {
            return Err(io::Error::last_os_error());
        }
        name.pop();
        Ok(Self(OsString::from_vec(name).into()))
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(super) fn read(&self, name: &str) -> Option<Vec<u8>> {
        let file: &Path = &self.file(name);
        let size = fs::metadata(file).ok()?.len();
        (size > 0 && size <= RESULT_BYTES).then(|| fs::read(file).ok()).flatten()
    }
}

impl Drop for TaskFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
