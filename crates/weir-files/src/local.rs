//! Objects as files of the local disk. An object is durable, with its name and folders, before its writer hears of it.

use crate::{FileError, FileSystem, ObjectInfo, Put, key};
use async_trait::async_trait;
use bytes::Bytes;
use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};
use weir_base::SharedDisk;
use weir_types::{ErrorKind, Retry};

/// Objects below a folder.
pub struct LocalFiles {
    root: PathBuf,
    disk: SharedDisk,
    mark: OnceLock<Arc<Mark>>,
}

/// What tells the folder from another that stands in its place, such as the one that its disk was mounted over.
struct Mark {
    path: PathBuf,
    content: Bytes,
}

impl Mark {
    /// That it is there. One small read for each object: what it guards against costs all that is written from then on.
    fn check(&self, disk: &dyn weir_base::Disk, root: &Path) -> io::Result<()> {
        let how = match disk.read(&self.path) {
            Ok(content) if content == self.content => return Ok(()),
            Ok(_) => "says now that it is another's",
            Err(error) if is_absent(&error) => "is gone",
            Err(error) => return Err(error),
        };
        Err(io::Error::other(format!(
            "{} is not the folder that it was, for {} {how}: its disk is not mounted any more, or somebody emptied it; mount it \
             again or put its content back, and it is gone on with by itself",
            root.display(),
            self.path.display(),
        )))
    }
}

impl LocalFiles {
    /// The objects below `root`, an absolute path. The disk is not asked yet; the folder is made by the first write.
    pub fn open(root: PathBuf, disk: SharedDisk) -> Result<Arc<Self>, FileError> {
        let files = Self { root, disk, mark: OnceLock::new() };
        if !files.root.is_absolute() {
            return Err(FileError::invalid("open", files.root_uri(), "the folder's path is not absolute"));
        }
        Ok(Arc::new(files))
    }

    fn root_uri(&self) -> String {
        format!("file://{}", self.root.display())
    }

    fn path(&self, action: &'static str, key: &str) -> Result<PathBuf, FileError> {
        key::check(action, &self.root_uri(), key)?;
        Ok(self.root.join(key))
    }

    /// Runs file work where it does not hold up the runtime.
    async fn run<T: Send + 'static>(
        &self,
        action: &'static str,
        uri: String,
        work: impl FnOnce(&dyn weir_base::Disk) -> io::Result<T> + Send + 'static,
    ) -> Result<T, FileError> {
        let disk = self.disk.clone();
        match tokio::task::spawn_blocking(move || work(&*disk)).await {
            Ok(done) => done.map_err(|error| failed(action, uri, &error)),
            Err(error) => Err(FileError {
                action,
                uri,
                reason: format!("the task ended early: {error}"),
                kind: ErrorKind::Internal,
                retry: Retry::Later,
            }),
        }
    }
}

fn failed(action: &'static str, uri: String, error: &io::Error) -> FileError {
    use io::ErrorKind as Io;
    let (kind, retry) = match error.kind() {
        Io::NotFound => (ErrorKind::NotFound, Retry::Never),
        Io::StorageFull | Io::QuotaExceeded => (ErrorKind::Exhausted, Retry::Later),
        Io::PermissionDenied => (ErrorKind::Invalid, Retry::Never),
        Io::NotADirectory | Io::IsADirectory | Io::AlreadyExists => (ErrorKind::Conflict, Retry::Never),
        Io::InvalidFilename | Io::InvalidInput => (ErrorKind::Invalid, Retry::Never),
        // Also a file system that the kernel took to reading only: somebody mends it.
        _ => (ErrorKind::Unavailable, Retry::Later),
    };
    FileError { action, uri, reason: error.to_string(), kind, retry }
}

/// Nothing of that name can be there: neither it nor a folder on the way.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory)
}

/// Whether the folder is the one that it was, where that is known.
fn check(disk: &dyn weir_base::Disk, root: &Path, mark: Option<&Mark>) -> io::Result<()> {
    mark.map_or(Ok(()), |mark| mark.check(disk, root))
}

/// Writes the object, and makes the folders from it up to the root durable: an earlier writer may have died in between.
fn write(disk: &dyn weir_base::Disk, root: &Path, mark: Option<&Mark>, path: &Path, content: &[u8]) -> io::Result<Put> {
    check(disk, root, mark)?;
    let created = disk.write_new(path, content)?;
    for dir in path.ancestors().skip(1).take_while(|dir| dir.starts_with(root)) {
        disk.sync_dir(dir)?;
    }
    // It may have gone meanwhile, and the object lies where the folder was.
    check(disk, root, mark)?;
    Ok(match created {
        true => Put::Created,
        false if holds(disk, path, content)? => Put::AlreadyThere,
        false => Put::Taken,
    })
}

/// Whether a file is of these bytes.
fn holds(disk: &dyn weir_base::Disk, path: &Path, content: &[u8]) -> io::Result<bool> {
    if disk.byte_count(path)? != Some(content.len() as u64) {
        return Ok(false);
    }
    let there = disk.map(path)?;
    Ok(*there == *content && there.damage().is_none())
}

/// Whether a file was to become an object and was not finished: its name is that of the object, a process and a number.
fn is_unfinished(name: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    let made = name.strip_suffix(".tmp").and_then(|name| name.rsplit_once('.'));
    made.and_then(|(_, by)| by.split_once('-')).is_some_and(|(process, number)| digits(process) && digits(number))
}

/// Removes unfinished files of before that time; says how many there were.
fn remove_unfinished(disk: &dyn weir_base::Disk, dir: &Path, before_ms: i64) -> io::Result<u64> {
    let mut removed = 0;
    for entry in disk.list(dir)? {
        let path = dir.join(&entry.name);
        if entry.is_dir {
            removed += remove_unfinished(disk, &path, before_ms)?;
        } else if entry.modified_ms < before_ms && is_unfinished(&entry.name) {
            disk.remove_file(&path)?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// All files whose key starts with `prefix`; `dir` is the key of a folder with a `/` at its end, or empty.
fn walk(
    disk: &dyn weir_base::Disk,
    root: &Path,
    dir: &str,
    prefix: &str,
    found: &mut Vec<ObjectInfo>,
) -> io::Result<()> {
    let entries = match disk.list(&root.join(dir)) {
        Err(error) if is_absent(&error) => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let key = format!("{dir}{}", entry.name);
        if entry.is_dir {
            let inside = key + "/";
            if inside.starts_with(prefix) || prefix.starts_with(&inside) {
                walk(disk, root, &inside, prefix, found)?;
            }
        } else if key.starts_with(prefix) && !entry.name.ends_with(".tmp") {
            found.push(ObjectInfo { key, byte_count: entry.byte_count, modified_ms: entry.modified_ms });
        }
    }
    Ok(())
}

#[async_trait]
impl FileSystem for LocalFiles {
    fn uri(&self, key: &str) -> String {
        format!("{}/{key}", self.root_uri())
    }

    async fn put_if_absent(&self, key: &str, content: Bytes) -> Result<Put, FileError> {
        let path = self.path("write", key)?;
        let (root, mark) = (self.root.clone(), self.mark.get().cloned());
        self.run("write", self.uri(key), move |disk| write(disk, &root, mark.as_deref(), &path, &content)).await
    }

    async fn get(&self, key: &str) -> Result<Bytes, FileError> {
        let path = self.path("read", key)?;
        let read = move |disk: &dyn weir_base::Disk| match disk.read(&path) {
            Err(error) if is_absent(&error) => Ok(None),
            other => other.map(Some),
        };
        let content = self.run("read", self.uri(key), read).await?;
        content.map(Bytes::from).ok_or_else(|| FileError::absent("read", self.uri(key)))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, FileError> {
        let dir = prefix.rfind('/').map_or("", |end| &prefix[..=end]);
        if !dir.is_empty() && key::check("list", &self.root_uri(), &dir[..dir.len() - 1]).is_err() {
            // No key begins so.
            return Ok(vec![]);
        }
        let dir = dir.to_owned();
        let (root, prefix, mark) = (self.root.clone(), prefix.to_owned(), self.mark.get().cloned());
        let list = move |disk: &dyn weir_base::Disk| {
            let mut found = vec![];
            walk(disk, &root, &dir, &prefix, &mut found)?;
            // A folder that is away has nothing, and that is no answer.
            check(disk, &root, mark.as_deref())?;
            found.sort_by(|a, b| a.key.cmp(&b.key));
            Ok(found)
        };
        self.run("list", self.root_uri(), list).await
    }

    async fn delete(&self, key: &str) -> Result<(), FileError> {
        let path = self.path("delete", key)?;
        let (root, mark) = (self.root.clone(), self.mark.get().cloned());
        let delete = move |disk: &dyn weir_base::Disk| {
            check(disk, &root, mark.as_deref())?;
            match disk.byte_count(&path) {
                // Only files are objects.
                Ok(None) => return Ok(()),
                Err(error) if is_absent(&error) => return Ok(()),
                Err(error) => return Err(error),
                Ok(Some(_)) => disk.remove_file(&path)?,
            }
            path.parent().map_or(Ok(()), |dir| disk.sync_dir(dir))
        };
        self.run("delete", self.uri(key), delete).await
    }

    async fn delete_unfinished(&self, before_ms: i64) -> Result<u64, FileError> {
        let root = self.root.clone();
        self.run("delete", self.root_uri(), move |disk| remove_unfinished(disk, &root, before_ms)).await
    }

    fn guard(&self, key: &str, content: &Bytes) {
        self.mark.get_or_init(|| Arc::new(Mark { path: self.root.join(key), content: content.clone() }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_base::{Chance, Disk, MemDisk, RealDisk};
    use weir_types::Classify;

    #[tokio::test]
    async fn conforms_on_the_real_disk() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("deep/store");
        crate::conformance::conformance(LocalFiles::open(root, RealDisk::shared()).unwrap()).await;
    }

    #[tokio::test]
    async fn conforms_on_the_disk_in_memory() {
        crate::conformance::conformance(LocalFiles::open("/deep".into(), MemDisk::new(None)).unwrap()).await;
    }

    #[tokio::test]
    async fn what_was_told_as_written_survives_a_crash() {
        for seed in 0..100 {
            let disk = MemDisk::new(None);
            let files = LocalFiles::open("/deep".into(), disk.clone()).unwrap();
            files.put_if_absent("a/b/c", Bytes::from_static(b"whole")).await.unwrap();
            disk.crash(&mut Chance::seeded(seed));
            let files = LocalFiles::open("/deep".into(), disk).unwrap();
            assert_eq!(files.get("a/b/c").await.unwrap(), "whole");
            assert_eq!(files.put_if_absent("a/b/c", Bytes::new()).await.unwrap(), Put::Taken);
        }
    }

    #[tokio::test]
    async fn a_folder_that_is_not_the_one_that_it_was_is_not_used() {
        let disk = MemDisk::new(None);
        let files = LocalFiles::open("/deep".into(), disk.clone()).unwrap();
        assert!(crate::is_owned_by(&*files, "me").await.unwrap());
        let put = async |key: &str| files.put_if_absent(key, Bytes::from_static(b"x")).await;
        put("a/1").await.unwrap();
        let mark = Path::new("/deep/.weir-owner");
        let lost = async |says: &str| {
            let error = put("a/2").await.unwrap_err();
            assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Later), "{error}");
            let told = error.to_string();
            assert!(
                [says, "/deep is not", "/deep/.weir-owner", "mount it"].iter().all(|part| told.contains(part)),
                "{told}"
            );
            // What is away is not gone.
            assert_eq!(files.list("").await.unwrap_err().kind(), ErrorKind::Unavailable);
            assert_eq!(files.delete("a/1").await.unwrap_err().kind(), ErrorKind::Unavailable);
        };
        // The folder is gone, then an empty one is there, then another one.
        disk.remove_dir_all(Path::new("/deep")).unwrap();
        lost("is gone").await;
        assert!(disk.list(Path::new("/")).unwrap().is_empty(), "it is not made anew");
        disk.create_dir_all(Path::new("/deep")).unwrap();
        lost("is gone").await;
        disk.write_whole(mark, b"you").unwrap();
        lost("another's").await;
        // It is back.
        disk.write_whole(mark, b"me").unwrap();
        assert_eq!(files.list("").await.unwrap().len(), 1, "nothing was written");
        assert_eq!(put("a/2").await.unwrap(), Put::Created);
        // Another's folder that somebody shares with it is watched alike.
        let shared = LocalFiles::open("/deep".into(), disk.clone()).unwrap();
        assert!(!crate::is_owned_by(&*shared, "you").await.unwrap());
        disk.remove_file(mark).unwrap();
        shared.put_if_absent("b", Bytes::new()).await.unwrap_err();
    }

    #[tokio::test]
    async fn a_full_disk_is_told_and_leaves_nothing() {
        let disk = MemDisk::new(Some(10));
        let files = LocalFiles::open("/deep".into(), disk.clone()).unwrap();
        let error = files.put_if_absent("a", Bytes::from(vec![0; 11])).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Exhausted, Retry::Later), "{error}");
        assert!(files.list("").await.unwrap().is_empty());
        disk.set_capacity(None);
        assert_eq!(files.put_if_absent("a", Bytes::from(vec![0; 11])).await.unwrap(), Put::Created);
    }

    #[tokio::test]
    async fn what_was_begun_and_not_finished_goes_when_it_is_old() {
        let disk = MemDisk::new(None);
        let files = LocalFiles::open("/deep".into(), disk.clone()).unwrap();
        files.put_if_absent("a/b.weir", Bytes::from_static(b"whole")).await.unwrap();
        let others = ["a/b.tmp", "a/notes.7.tmp", "c.1-x.tmp"];
        for left in ["a/b.weir.17-0.tmp", "c/d/e.weir.4-12.tmp"].into_iter().chain(others) {
            disk.write_whole(&Path::new("/deep").join(left), b"half").unwrap();
        }
        assert_eq!(files.delete_unfinished(0).await.unwrap(), 0, "it is being written");
        assert_eq!(files.delete_unfinished(i64::MAX).await.unwrap(), 2);
        assert_eq!(files.delete_unfinished(i64::MAX).await.unwrap(), 0);
        for there in others {
            assert!(disk.byte_count(&Path::new("/deep").join(there)).unwrap().is_some(), "{there} is not ours");
        }
        assert_eq!(files.list("").await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn files_that_are_being_written_are_no_objects() {
        let disk = MemDisk::new(None);
        disk.write_whole(Path::new("/deep/a/b.17-0.tmp"), b"half").unwrap();
        let files = LocalFiles::open("/deep".into(), disk).unwrap();
        assert!(files.list("").await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn an_object_cannot_be_a_folder_too() {
        let files = LocalFiles::open("/deep".into(), MemDisk::new(None)).unwrap();
        files.put_if_absent("a/b", Bytes::new()).await.unwrap();
        for key in ["a", "a/b/c"] {
            let error = files.put_if_absent(key, Bytes::new()).await.unwrap_err();
            assert_eq!((error.kind(), error.retry()), (ErrorKind::Conflict, Retry::Never), "{error}");
        }
    }
}
