//! `slips`: the collector's command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(slips::program::main(std::env::args_os().skip(1)))
}
