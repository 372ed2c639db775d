//! The node's identity: a uuid made at the first start and kept in the state directory. libvirt's own host uuid is no substitute: where the
//! machine's firmware has none, it changes with every start of libvirtd.

use std::io::{ErrorKind, Write};
use std::path::Path;
use uuid::Uuid;

const FILE_NAME: &str = "host-uuid";

/// Reads the node's uuid; makes and keeps one at the first start.
///
/// # Errors
/// What is wrong with the file, for the operator. A broken one is not replaced: controllers know the node by what stood there.
pub(crate) fn host_uuid(state_dir: &Path) -> Result<Uuid, String> {
    let path = state_dir.join(FILE_NAME);
    match std::fs::read_to_string(&path) {
        Ok(text) => Uuid::parse_str(text.trim()).map_err(|_| format!("{} does not hold a uuid", path.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let uuid = Uuid::new_v4();
            create(&path, uuid).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
            Ok(uuid)
        }
        Err(error) => Err(format!("cannot read {}: {error}", path.display())),
    }
}

fn create(path: &Path, uuid: Uuid) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = std::fs::File::create(&beside)?;
    writeln!(file, "{uuid}")?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uuid_of_the_first_start_is_that_of_every_later_one() {
        let directory = tempfile::tempdir().unwrap();
        let first = host_uuid(directory.path()).unwrap();
        assert_eq!(host_uuid(directory.path()).unwrap(), first);
    }

    #[test]
    fn a_broken_file_is_reported_and_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(FILE_NAME), "nonsense").unwrap();
        assert!(host_uuid(directory.path()).unwrap_err().contains("does not hold a uuid"));
        assert_eq!(std::fs::read_to_string(directory.path().join(FILE_NAME)).unwrap(), "nonsense");
    }
}
