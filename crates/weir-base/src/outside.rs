//! What the machine tells a process beside its settings: variables of the environment and small text files.

use std::{fs::File, io::Read};

/// Most bytes of a file that is read here: a chain of certificates has some ten thousand.
const MOST_BYTES: u64 = 1 << 20;

/// A variable of the environment, where it is set and text.
#[must_use]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The text of a small file, or why it cannot be read. Waits for the disk.
pub fn text_file(path: &str) -> Result<String, String> {
    String::from_utf8(small_file(path)?).map_err(|_| "it is not text".into())
}

/// The bytes of a small file, or why it cannot be read. Waits for the disk.
pub fn small_file(path: &str) -> Result<Vec<u8>, String> {
    file_of_at_most(path, MOST_BYTES)
}

/// The bytes of a file that has at most `most` of them, or why it cannot be read. Waits for the disk.
pub fn file_of_at_most(path: &str, most: u64) -> Result<Vec<u8>, String> {
    let mut bytes = vec![];
    let read = File::open(path).and_then(|file| file.take(most.saturating_add(1)).read_to_end(&mut bytes));
    match read {
        Ok(count) if count as u64 > most => Err(format!("it has more than {most} bytes")),
        Ok(_) => Ok(bytes),
        Err(error) => Err(error.to_string().to_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_files_are_read_and_others_say_why_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pw");
        let shown = path.to_str().unwrap();
        assert!(text_file(shown).unwrap_err().contains("no such file"));
        std::fs::write(&path, "x\n").unwrap();
        assert_eq!(text_file(shown).unwrap(), "x\n");
        assert_eq!((file_of_at_most(shown, 2), file_of_at_most(shown, 1).is_err()), (Ok(b"x\n".to_vec()), true));
        std::fs::write(&path, vec![b'x'; MOST_BYTES as usize + 1]).unwrap();
        assert!(text_file(shown).unwrap_err().contains("more than"));
    }

    #[test]
    fn variables_are_read() {
        assert!(variable("PATH").is_some());
        assert_eq!(variable("WEIR_NO_SUCH_VARIABLE"), None);
    }
}
