//! The program `novaobs`.

fn main() {}
