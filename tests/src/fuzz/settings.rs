//! A settings file of any bytes is read or refused: with a text of bounded length, and twice in the same way.

use std::fs;

use clap::{Args as _, Command, FromArgMatches as _};
use trestle_server::config::ServeArgs;

use super::input::{Input, mutate};

/// Bytes of an error text. The value that it quotes is a line of the file.
const ERROR_BYTES_MAX: usize = 8_192;
const SAMPLE: &str = "listen-ng = \"127.0.0.1:2223\"\ninterface = [\"198.51.100.7\"]\nport-min = 20000\nport-max = 39999\n\
    max-sessions = 100\ngate = \"shut\"\npre-roll = 3000\nfiller = \"silence\"\n";

/// The first byte chooses between the bytes themselves and a spoilt sample. Gives 1 if the file was read.
pub fn settings(data: &[u8]) -> usize {
    let mut input = Input::new(data);
    let text = match input.below(3) {
        0 => input.rest().to_vec(),
        choice => {
            let mut text = SAMPLE.as_bytes().to_vec();
            while !input.is_empty() && choice == 2 {
                mutate(&mut input, &mut text);
                text.truncate(4_096);
            }
            text
        }
    };
    let thread = format!("{:?}", std::thread::current().id());
    let name: String = thread.chars().filter(char::is_ascii_digit).collect();
    let file = std::env::temp_dir().join(format!("trestle-settings-{}-{name}.toml", std::process::id()));
    fs::write(&file, &text).expect("a temporary file");
    let load = || {
        let command = ServeArgs::augment_args(Command::new("serve").no_binary_name(true));
        let path = file.to_str().expect("a path of ASCII").to_owned();
        let matches = command.try_get_matches_from(["--config".to_owned(), path]).expect("--config");
        ServeArgs::from_arg_matches(&matches).expect("arguments").load().map_err(|error| error.to_string())
    };
    let (first, second) = (load(), load());
    fs::remove_file(&file).expect("the temporary file");
    match (first, second) {
        (Ok(_), Ok(_)) => 1,
        (Err(first), Err(second)) => {
            assert_eq!(first, second, "the same file is refused for two reasons");
            assert!(!first.is_empty() && first.len() <= ERROR_BYTES_MAX, "{} bytes: {first:.200}", first.len());
            0
        }
        _ => panic!("the same file is read and refused"),
    }
}
