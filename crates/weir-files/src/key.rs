//! Which keys an object may have: the same on every file system, so that a store can be moved.

use crate::FileError;

/// The longest key in bytes: S3 takes 1024, and the root's prefix needs its share.
const LONGEST: usize = 900;

/// Checks a key: parts between `/` that are not empty, `.` or `..`, without control characters and backslashes, and none
/// that ends in `.tmp`, which marks a file that is being written.
pub(crate) fn check(action: &'static str, root: &str, key: &str) -> Result<(), FileError> {
    let fault = if key.is_empty() {
        "is empty"
    } else if key.len() > LONGEST {
        "is longer than 900 bytes"
    } else if key.chars().any(|c| c.is_control() || c == '\\') {
        "has a control character or a backslash"
    } else if key.split('/').any(str::is_empty) {
        "has an empty part: no '/' at its begin or end, none twice"
    } else if key.split('/').any(|part| part == "." || part == "..") {
        "has a part that would leave its place ('.' or '..')"
    } else if key.split('/').any(|part| part.ends_with(".tmp")) {
        "has a part that ends in .tmp, which marks files that are being written"
    } else {
        return Ok(());
    };
    Err(FileError::invalid(action, root, format!("the object key {key:?} {fault}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_leave_their_place_are_refused() {
        let long = "k".repeat(LONGEST + 1);
        for key in ["", "/a", "a/", "a//b", "..", "a/../b", "./a", "a\\b", "a\nb", "a\0", "a.tmp", "a.tmp/b", &long] {
            let error = check("write", "file:///store", key).unwrap_err();
            assert!(error.to_string().contains(&format!("{key:?}")), "{error}");
        }
        for key in ["a", "a/b-c_d.e", "..a/b..", "ü/%41/x y", ".hidden", &long[1..]] {
            check("write", "file:///store", key).unwrap();
        }
    }
}
