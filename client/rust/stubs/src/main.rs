//! `stubs PROTO_ROOT OUT`: writes the messages and clients of all protos below PROTO_ROOT into the folder OUT.

use std::error::Error;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(root), Some(out)) = (arguments.next(), arguments.next()) else {
        return Err("usage: stubs PROTO_ROOT OUT".into());
    };
    let mut protos = protos_of(&Path::new(&root).join("buildrunner_parallel/v1"))?;
    protos.sort();
    let files = protox::compile(&protos, [&root])?;
    std::fs::create_dir_all(&out)?;
    let mut config = prost_build::Config::new();
    config.out_dir(&out);
    tonic_prost_build::configure()
        .build_server(false)
        // How a channel is made is the client's affair.
        .build_transport(false)
        .out_dir(&out)
        .emit_rerun_if_changed(false)
        .compile_fds_with_config(files, config)?;
    Ok(())
}

fn protos_of(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "proto") {
            found.push(path);
        }
    }
    Ok(found)
}
