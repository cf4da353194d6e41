//! Whose a file system's folder is: the first node that finds it nobody's writes its name there.

use crate::{FileError, FileSystem, Put};
use bytes::Bytes;
use weir_types::{Classify, ErrorKind};

/// Beside the folders of tables, none of which begins with a dot.
const KEY: &str = ".weir-owner";

/// Whether the folder is `name`'s; it is from now on where it was nobody's. Whosever it is, nothing is written there any
/// more once the name is gone: then it is not the folder that it was.
///
/// # Errors
/// The store does not say.
pub async fn is_owned_by(files: &dyn FileSystem, name: &str) -> Result<bool, FileError> {
    let name = Bytes::copy_from_slice(name.as_bytes());
    // Asked first: a store that is full says whose it is, too.
    let owner = match files.get(KEY).await {
        Err(error) if error.kind() == ErrorKind::NotFound => match files.put_if_absent(KEY, name.clone()).await? {
            Put::Created | Put::AlreadyThere => name.clone(),
            Put::Taken => files.get(KEY).await?,
        },
        found => found?,
    };
    files.guard(KEY, &owner);
    Ok(owner == name)
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
