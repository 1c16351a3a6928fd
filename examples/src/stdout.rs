//! Lines on stdout whose reader may go away. A file that needs nothing: programs that do not link libtorch, and so not the shared library
//! either, take it alone (`#[path]`).

use std::fmt;
use std::io::{ErrorKind, Write};

/// As the standard macro of this name, but a reader of stdout who has gone, as `| head` does, ends nothing: what is left to do
/// is done, and the exit code says how that went. Each program takes it by `use regen_examples::println`.
#[macro_export]
macro_rules! println {
    () => { $crate::stdout::line(format_args!("")) };
    ($($text:tt)*) => { $crate::stdout::line(format_args!($($text)*)) };
}

/// One line on stdout, for [`crate::println`]. A reader who has gone is no failure; a full disk is one, and ends the program.
pub fn line(text: fmt::Arguments<'_>) {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("Error: cannot write to stdout: {error}");
            std::process::exit(1);
        }
        _ => {}
    }
}
