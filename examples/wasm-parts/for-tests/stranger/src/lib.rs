//! A component that is none of Weir's.

wit_bindgen::generate!({
    inline: "package other:parts@1.0.0; interface greeting { greet: func() -> string; } world stranger { export greeting; }",
});

struct Stranger;

impl exports::other::parts::greeting::Guest for Stranger {
    fn greet() -> String {
        "good day".to_owned()
    }
}

export!(Stranger);
