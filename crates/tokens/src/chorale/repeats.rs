//! Where the music so far ends as it once did before: what came then is likely to come again.

/// The earlier place whose past equals the present's for the most steps, the latest of several.
#[derive(Clone, Debug)]
pub struct Repeats<T> {
    steps: Vec<T>,
    /// `[j]`: how many steps before `j` equal those before the present.
    lengths: Vec<u16>,
    best: Option<(usize, u16)>,
}

impl<T> Default for Repeats<T> {
    fn default() -> Self {
        Repeats { steps: vec![], lengths: vec![], best: None }
    }
}

impl<T: PartialEq + Copy> Repeats<T> {
    /// Takes a step that is complete.
    pub fn push(&mut self, step: T) {
        self.steps.push(step);
        let now = self.steps.len();
        // From the last on, so that the length before `j` is still that of the step before.
        self.lengths.push(0);
        self.best = None;
        for j in (1..now).rev() {
            let same = self.steps[j - 1] == step;
            self.lengths[j] = if same { self.lengths[j - 1].saturating_add(1) } else { 0 };
            if self.lengths[j] > self.best.map_or(0, |(_, length)| length) {
                self.best = Some((j, self.lengths[j]));
            }
        }
    }

    /// The step that came at that place, and how many steps before it were the same.
    pub fn predicted(&self) -> Option<(T, u16)> {
        self.best.map(|(j, length)| (self.steps[j], length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_repeat_tells_what_comes_next() {
        let mut repeats = Repeats::default();
        let music = [5, 1, 2, 3, 4, 9, 2, 3, 7, 1, 2, 3];
        for step in music {
            repeats.push(step);
        }
        assert_eq!(repeats.predicted(), Some((4, 3)), "after 1 2 3 came 4; after 2 3 alone came 7");
        let mut fresh = Repeats::default();
        (0..9).for_each(|step| fresh.push(step));
        assert_eq!(fresh.predicted(), None);
    }

    #[test]
    fn lengths_equal_a_search_by_hand() {
        let music: Vec<u8> = (0..200u32).map(|i| (i * i * 7 / 11 % 3) as u8).collect();
        let mut repeats = Repeats::default();
        for (t, step) in music.iter().enumerate() {
            repeats.push(*step);
            let now = t + 1;
            let length = |j: usize| (1..=j).take_while(|k| music[j - k] == music[now - k]).count();
            let best =
                (1..now).rev().fold((0, 0), |best, j| if length(j) > best.1 { (j, length(j)) } else { best });
            let expected = (best.1 > 0).then(|| (music[best.0], best.1 as u16));
            assert_eq!(repeats.predicted(), expected, "at {now}");
        }
    }
}
