//! Whose a file system's folder is: the first node that finds it nobody's writes its name there.

use crate::{FileError, FileSystem, Put};
use bytes::Bytes;

/// Beside the folders of tables, none of which begins with a dot.
const KEY: &str = ".weir-owner";

/// Whether the folder is `name`'s; it is from now on where it was nobody's.
///
/// # Errors
/// The store does not say.
pub async fn is_owned_by(files: &dyn FileSystem, name: &str) -> Result<bool, FileError> {
    let name = Bytes::copy_from_slice(name.as_bytes());
    match files.put_if_absent(KEY, name.clone()).await? {
        Put::Created => Ok(true),
        Put::AlreadyThere => Ok(files.get(KEY).await? == name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_to_ask_owns_it() {
        let files = crate::memory();
        assert!(is_owned_by(&*files, "a").await.unwrap());
        assert!(!is_owned_by(&*files, "b").await.unwrap());
        assert!(is_owned_by(&*files, "a").await.unwrap());
    }
}
