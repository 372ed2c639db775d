//! The least a program on libvirt takes: the library, one connection, and nothing else.
//!
//! `floor-libvirt URI`: opens the connection, says so on standard output and sleeps until its standard input ends.
#![allow(clippy::print_stdout, reason = "a tool for developers")]

use std::error::Error;
use std::io::{Read, Write};
use virt::connect::Connect;

fn main() -> Result<(), Box<dyn Error>> {
    let uri = std::env::args().nth(1).ok_or("usage: floor-libvirt URI")?;
    let _connection = Connect::open(Some(&uri))?;
    println!("connected");
    std::io::stdout().flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
