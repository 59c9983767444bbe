//! Which instruction set runs, chosen once, and the macro that compiles one body for all of them.
//!
//! A kernel written with [`multiversion!`] has a single body. The compiler vectorises it for every
//! instruction set, and since it never reorders floating-point operations, every version gives the
//! same bits. The body fixes the order itself: sixteen lanes, `mul_add`, one reduction tree.

use std::sync::OnceLock;

/// The instruction set a kernel runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Path {
    /// Portable code: the definition of every kernel.
    Generic,
    /// AVX2 + FMA.
    Avx2,
    /// AVX-512 F/BW/DQ/VL + VNNI.
    Avx512,
}

impl Path {
    /// All paths, slowest first.
    pub const ALL: [Path; 3] = [Path::Generic, Path::Avx2, Path::Avx512];

    pub fn name(self) -> &'static str {
        match self {
            Path::Generic => "generic",
            Path::Avx2 => "avx2",
            Path::Avx512 => "avx512",
        }
    }

    /// Whether this CPU can run the path. Cheap enough to ask before every kernel.
    #[inline]
    pub fn is_supported(self) -> bool {
        static SUPPORTED: OnceLock<[bool; 3]> = OnceLock::new();
        SUPPORTED.get_or_init(|| Path::ALL.map(Path::detect))[self as usize]
    }

    fn detect(self) -> bool {
        match self {
            Path::Generic => true,
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Path::Avx512 => {
                Path::Avx2.detect()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512vnni")
            }
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    fn best() -> Path {
        *Path::ALL.iter().rev().find(|p| p.is_supported()).expect("generic is always supported")
    }

    /// The path named by `PARTITA_KERNELS`, else the best this CPU has. Read once per process.
    ///
    /// # Errors
    /// A message naming the paths this CPU has, for an unknown or unsupported name.
    pub fn from_env() -> Result<Path, String> {
        static CHOICE: OnceLock<Result<Path, String>> = OnceLock::new();
        CHOICE
            .get_or_init(|| match std::env::var("PARTITA_KERNELS") {
                Err(_) => Ok(Path::best()),
                Ok(name) => Path::parse(&name),
            })
            .clone()
    }

    fn parse(name: &str) -> Result<Path, String> {
        let supported: Vec<_> = Path::ALL.iter().filter(|p| p.is_supported()).map(|p| p.name()).collect();
        match Path::ALL.iter().find(|p| p.name() == name) {
            Some(path) if path.is_supported() => Ok(*path),
            Some(_) => Err(format!(
                "PARTITA_KERNELS={name} is not supported by this CPU, which has {}",
                supported.join(", ")
            )),
            None => Err(format!("PARTITA_KERNELS must be one of {}, got {name:?}", supported.join(", "))),
        }
    }
}

/// Compiles one body for every [`Path`] and adds a leading `path: Path` argument that picks one.
#[macro_export]
macro_rules! multiversion {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name(path: $crate::Path, $($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body($($arg: $ty),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $ty),*) $(-> $ret)? { body($($arg),*) }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
            fn avx512($($arg: $ty),*) $(-> $ret)? { body($($arg),*) }
            assert!(path.is_supported(), "this CPU has no {}", path.name());
            match path {
                $crate::Path::Generic => body($($arg),*),
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the CPU has the path, by the assertion above.
                $crate::Path::Avx2 => unsafe { avx2($($arg),*) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the CPU has the path, by the assertion above.
                $crate::Path::Avx512 => unsafe { avx512($($arg),*) },
                #[cfg(not(target_arch = "x86_64"))]
                _ => body($($arg),*),
            }
        }
    };
}
