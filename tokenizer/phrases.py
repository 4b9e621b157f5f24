"""Plain sentences about everyday scenes, for scenes that the captioner has no good words for.

The captioner learned its words from photos of people and dogs outdoors. What else a camera or a film shows is told by
the sentence of this list that the picture's embedding matches best, where it matches clearly better than the
captioner's own.
"""

from __future__ import annotations

from typing import Final

PHRASES: Final[tuple[str, ...]] = tuple(
    line.strip()
    for line in """
A man stands in a room.
A man sits at a table.
A man talks to the camera.
A man in a suit gives a speech.
A man speaks into a microphone.
A man plays a guitar.
A man plays the drums.
A person plays the piano.
Musicians play on a stage.
A man sings into a microphone.
A crowd watches a concert.
A man dances.
People dance in a room.
A woman stands in a room.
A woman sits at a table.
A woman talks to the camera.
A woman with long hair looks into the camera.
A woman puts on make-up.
A woman brushes her hair.
A woman reads a book.
A woman works at a computer.
A person types on a keyboard.
A young man sits in front of a laptop.
A baby sits on a bed.
A baby plays with a toy.
A baby lies on a blanket.
A child plays with toy blocks.
Children play in a room.
Children jump on a bed.
Children play in a gym.
People play basketball in a gym.
People sit in a classroom.
Students listen to a lecture.
People sit in an office.
People work in a laboratory.
Two people hug each other.
Two people talk to each other.
Two people shake hands.
A group of people stands together.
A family sits on a couch.
People sit at a table and eat.
A person eats food.
A person drinks from a cup.
A birthday cake stands on a table.
A man cooks in a kitchen.
A woman cooks in a kitchen.
Food is cooked in a pan.
Vegetables are cut on a board.
Vegetables are stirred in a wok.
A plate of food stands on a table.
Fruit lies on a table.
An apple lies on a table.
A kitchen with a stove and a sink.
A living room with a couch.
A bedroom with a bed.
An empty room with a wooden floor.
A bathroom with a sink.
A hallway with a door.
A desk with a computer.
A desk with papers and a plant.
A potted plant stands by a window.
A computer screen shows a web page.
A computer screen shows text.
A screen shows a line chart.
A screen shows a slide with text.
A black screen with white text.
A television shows a film.
A video game is played on a screen.
A cartoon animal stands on a meadow.
A cartoon shows two people.
An animated film shows a person.
A cartoon is shown.
Letters are shown on a blue sky.
Clouds move over a blue sky.
A black picture in which nothing can be seen.
A dark room.
A dark street at night.
Fireworks light up the night sky.
People shop in a store.
Goods stand on the shelves of a store.
People walk through a shopping mall.
People walk through an airport.
People walk on a city street.
People cross a street.
A crowd of people stands in a street.
A person holds a sign in a street.
People walk over a square.
People with backpacks walk over a plaza.
Cars drive on a street.
Cars drive on a highway.
A car drives on a road.
A red car drives on a street.
A car is parked in front of a house.
Cars stand in a parking lot.
Cars are stuck in traffic.
A view from a driving car onto a road.
A view from above onto a road with cars.
A man sits in a car.
A bus drives on a street.
A truck drives on a road.
A train stands at a station.
A man rides a motorcycle.
A man rides a bicycle.
Bicycles are parked at a fence.
An aeroplane flies in the sky.
A boat floats on the water.
A package lies at a door.
A person stands at a front door.
A delivery man carries a parcel.
A house with a garden.
A garden with flowers.
A tree stands on a meadow.
A path leads through a forest.
A man walks through a forest.
A man walks through the snow.
A man stands in the snow with a dog.
Snow lies on the ground.
Skiers ride down a snowy mountain.
A snow storm in the mountains.
Mountains under a blue sky.
Green hills with houses.
A paraglider flies over hills.
A field of green grass.
A beach with waves.
Waves break on the shore.
A river flows through a valley.
Autumn leaves lie on the ground.
Rocks lie on the ground.
A dog runs on the grass.
A dog plays with a person.
A dog walks on a path.
A dog lies on the floor.
A cat lies on a cushion.
A kitten plays.
A bird sits on a branch.
A parrot sits in a cage.
A horse stands on a meadow.
A bear walks over rocks.
A deer stands in a forest.
Cows stand on a meadow.
Fish swim in the water.
An elephant walks.
A soccer game on a green field.
A baseball player swings a bat.
A tennis player hits a ball.
A cricket match on a field.
A football player runs with the ball.
A swimmer swims in a pool.
A surfer rides a wave.
A skateboarder does a trick.
A climber climbs a rock.
A gymnast performs in a hall.
A man lifts weights.
Soldiers in uniform.
A man in armour.
A man in an old uniform rests on the grass.
People in old clothes in a hall.
A worker with a helmet at a building site.
A worker stands on a lift platform.
A machine in a factory.
A conveyor belt in a factory.
A tool lies on a table.
A hand holds a small object.
Hands move things on a table.
A hand presses strings of a guitar.
A person writes on a whiteboard.
A person writes on paper.
A person opens a door.
A person leaves a room.
A person carries a bag.
A person holds a pillow.
A person holds a phone.
A person makes a sign with the hands.
A person lies on a bed.
A person sleeps.
A person runs on a road.
A person falls to the ground.
Smoke rises into the air.
A fire burns.
""".strip().splitlines()
)
