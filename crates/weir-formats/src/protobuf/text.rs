//! Message types from the texts that a schema registry keeps: `.proto` source, or a descriptor in base64.

use super::schema::ProtoSchema;
use base64::Engine as _;
use prost_reflect::DescriptorPool;
use protox::{
    Compiler, Error,
    file::{ChainFileResolver, File, FileResolver, GoogleFileResolver},
};
use weir_base::tasks::may_panic;

/// What the file is called whose name nobody said. No import can have a name of that form.
const MAIN: &str = "the schema.proto";

/// A file of message types with all that it imports.
#[derive(Debug, Clone)]
pub struct ProtoFile {
    pool: DescriptorPool,
}

impl ProtoFile {
    /// Reads a file, in either form. `imports` are the files that it imports, by the names under which it does; what Google
    /// delivers with the compiler need not be among them.
    ///
    /// # Errors
    /// A text that cannot be read, or an import that is not there.
    pub fn parse(text: &str, imports: &[(String, String)]) -> Result<Self, String> {
        let mut files = vec![(MAIN, text)];
        files.extend(imports.iter().map(|(name, text)| (name.as_str(), text.as_str())));
        let files = files.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
        let mut resolver = ChainFileResolver::new();
        resolver.add(Texts(files));
        resolver.add(GoogleFileResolver::new());
        let mut compiler = Compiler::with_file_resolver(resolver);
        compiler.include_imports(true);
        // The library looks for the place of a fault in a file that it has not taken in yet.
        may_panic(|| compiler.open_file(MAIN).map(drop).map_err(|error| error.to_string()))
            .unwrap_or_else(|panic| Err(format!("what is wrong with it cannot be told: {panic}")))?;
        Ok(Self { pool: compiler.descriptor_pool() })
    }

    /// The message type at a path of positions: among the file's own types, then among those inside of it.
    ///
    /// # Errors
    /// There is none.
    pub fn message(&self, path: &[usize]) -> Result<ProtoSchema, String> {
        let file = self.pool.get_file_by_name(MAIN).expect("it was compiled under this name");
        let shown = || path.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        let mut path = path.iter();
        let mut found = path.next().and_then(|at| file.messages().nth(*at));
        for at in path {
            found = found.and_then(|message| message.child_messages().nth(*at));
        }
        match found {
            Some(message) => Ok(ProtoSchema::of(&message)),
            None => Err(format!("the schema has no message type at position [{}]", shown())),
        }
    }

    /// Descriptors of the file and its imports, as `protoc` writes them.
    #[must_use]
    pub fn descriptor_set(&self) -> Vec<u8> {
        self.pool.encode_to_vec()
    }
}

/// Files by their names.
struct Texts(Vec<(String, String)>);

impl FileResolver for Texts {
    fn open_file(&self, name: &str) -> Result<File, Error> {
        match self.0.iter().find(|(known, _)| known == name) {
            Some((_, text)) => file(name, text),
            None => Err(Error::file_not_found(name)),
        }
    }
}

fn file(name: &str, text: &str) -> Result<File, Error> {
    // Source has spaces and braces, which base64 has not.
    let Ok(bytes) = base64::engine::general_purpose::STANDARD.decode(text.trim()) else {
        return File::from_source(name, text);
    };
    match File::decode_file_descriptor_proto(bytes.as_slice()) {
        Ok(file) => {
            let mut descriptor = file.file_descriptor_proto().clone();
            name.clone_into(descriptor.name.get_or_insert_default());
            Ok(File::from_file_descriptor_proto(descriptor))
        }
        Err(error) => Err(Error::new(error)),
    }
}
