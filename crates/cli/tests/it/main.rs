//! The program from outside: exit codes, messages, files and bytes.

mod bad_input;
mod editing;
mod generating;
mod run;
mod showing;
