"""`course verify`: the proof that an exercise's checks accept what is right and reject what is wrong."""
