//! Draws a MIDI file: `draw FILE.mid OUT-FOLDER` writes its piano roll and, if it has drums, their grid.

use partita_score::{DrumMap, midi, picture, quantize_drums, text_grid};
use std::{error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(input), Some(folder)) = (args.next(), args.next()) else {
        return Err("usage: draw FILE.mid OUT-FOLDER".into());
    };
    let score = midi::read(&fs::read(input)?)?;
    let save = |name: &str, drawing: picture::Drawing| -> Result<(), Box<dyn Error>> {
        fs::write(Path::new(&folder).join(name).with_extension("svg"), drawing.to_svg())?;
        Ok(fs::write(Path::new(&folder).join(name).with_extension("png"), drawing.to_png(2.0)?)?)
    };
    save("roll", picture::piano_roll(&score))?;
    let Ok(drums) = quantize_drums(&score, DrumMap::Td11) else { return Ok(()) };
    let drums = drums.pattern;
    print!("{}", text_grid::render(&drums, text_grid::Style { color: true, ..Default::default() }));
    save("drums", picture::drum_grid(&drums))
}
