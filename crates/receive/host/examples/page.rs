//! Prints one scrape of this machine.
#![allow(clippy::print_stdout, reason = "this is what it is for")]

fn main() {
    print!("{}", novaobs_host::Host::default().render());
}
