//! The program; all of it is in the library, where the generator of the man pages finds its command line.

fn main() -> std::process::ExitCode {
    hvctl::main()
}
