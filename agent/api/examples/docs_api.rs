//! Writes the pages of `docs/api` and the OpenAPI documents beside this crate: `make docs-api`.

use hvnode_api::dialect::{chimestack, native, openstack};
use hvnode_api::guide::{Page, pages};
use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("../../docs/api");
    std::fs::create_dir_all(&folder)?;
    for Page { name, text } in pages() {
        std::fs::write(folder.join(name), text)?;
    }
    let documents = [("native", native::openapi()), ("openstack", openstack::openapi()), ("chimestack", chimestack::openapi())];
    for (name, document) in documents {
        let text = serde_json::to_string_pretty(&document).map_err(io::Error::other)?;
        std::fs::write(root.join(format!("openapi/{name}.json")), text + "\n")?;
    }
    Ok(())
}
