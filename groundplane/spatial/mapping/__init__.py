"""From regions and depth to objects in the world: lifting, association, the room."""
