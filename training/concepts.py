"""Everyday concepts with the words captions use for them and the ImageNet classes that show them.

They make yes/no questions from captions (training stage 2): a concept is present in a photo when one of its captions
names it or the tower's ImageNet classifier is sure of one of its classes. One line a concept:

    name | phrase in a question | caption words | ImageNet classes (numbers and ranges)

`thing` phrases are asked as "Is there {phrase} …?", `act` phrases as "Is someone {phrase}?", `place` phrases as
"Is this {phrase}?".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Concept:
    """One concept: `kind` is thing, act or place; `words` match captions whole; `classes` are ImageNet-1k indices."""

    name: str
    kind: str
    phrase: str
    words: frozenset[str]
    classes: tuple[int, ...]


_THINGS: Final = """
dog | a dog | dog dogs puppy puppies greyhound greyhounds poodle terrier retriever collie labrador dalmatian | 151-268
cat | a cat | cat cats kitten kittens | 281-285
bird | a bird | bird birds duck ducks seagull seagulls pigeon pigeons parrot swan goose | 7-24 80-100 127-146
horse | a horse | horse horses pony | 339
bear | a bear | bear bears | 294-297
animal | an animal | animal animals dog dogs puppy cat cats kitten bird birds horse horses cow cows sheep goat
    bear monkey elephant greyhound duck seagull deer squirrel bull terrier poodle | 0-397
person | a person | person people man men woman women boy boys girl girls child children kid kids guy guys lady
    ladies toddler baby player players someone skier surfer rider skateboarder snowboarder climber cyclist hiker
    couple crowd family | 981-983
man | a man | man men guy guys male gentleman | 982
woman | a woman | woman women lady ladies female bride |
boy | a boy | boy boys |
girl | a girl | girl girls |
child | a child | child children kid kids toddler toddlers boy boys girl girls baby infant |
baby | a baby | baby babies infant |
crowd | a crowd of people | crowd crowded audience parade spectators |
group | a group of people | group people crowd team players children kids men women |
car | a car | car cars van suv sedan taxi minivan jeep | 436 468 511 627 656 661 717 751 817
truck | a truck | truck trucks | 555 569 717 864 867
bus | a bus | bus buses | 654 779 874
train | a train | train subway tram | 466 547 565 705 820 829
bicycle | a bicycle | bicycle bicycles bicyclist bicyclists bike bikes biker bikers cyclist cyclists bmx biking
    | 444 671
motorcycle | a motorcycle | motorcycle motorcycles motorcyclist motorbike motocross | 665 670
vehicle | a vehicle | vehicle vehicles car cars van suv taxi jeep truck bus train motorcycle atv tractor | 407
    436 468 511 555 569 627 654 656 661 665 670 675 717 734 751 779 817 864 867 874
boat | a boat | boat boats canoe kayak raft sailboat ship | 472 484 510 554 576 625 628 724 780 814 871 914
ball | a ball | ball balls football basketball baseball soccer tennis volleyball | 429 430 522 722 746 768 805 852 890
toy | a toy | toy toys stuffed doll frisbee lego | 537 850 332
hat | a hat | hat hats cap beanie | 439 515 808
glasses | glasses or sunglasses | glasses sunglasses goggles | 836 837
helmet | a helmet | helmet helmets | 518 560
umbrella | an umbrella | umbrella umbrellas | 879
guitar | a guitar | guitar guitars guitarist | 402 546
instrument | a musical instrument | guitar guitars instrument instruments drum drums drummer piano violin
    saxophone trumpet accordion flute keyboard banjo cello | 401 402 420 432 486 494 513 541 546 558 566 577 579 593
    594 642 683 684 687 699 776 822 875 881 889
microphone | a microphone | microphone microphones mic | 650
screen | a screen | computer laptop screen monitor television tv | 508 527 664 681 782 851 916
phone | a phone | phone cellphone telephone cell | 487 528 707
camera | a camera | camera cameras photographer | 732 759
book | a book | book books magazine newspaper | 917 921 922
table | a table | table tables desk | 526 532 736
chair | a chair | chair chairs | 423 559 765 831
bench | a bench | bench benches | 703
bed | a bed | bed beds mattress | 431 564
couch | a couch | couch sofa | 831
flag | a flag | flag flags | 557
food | food | food eat eats eating meal pizza cake sandwich lunch dinner cooking bread cheese meat | 923-969
fruit | fruit | fruit fruits apple apples banana bananas watermelon berries | 948-957
vegetables | vegetables | vegetable vegetables carrot carrots salad broccoli | 936-947
cake | a cake | cake cakes cupcake birthday |
drink | a drink | drink drinks drinking drinks beer wine coffee bottle cup | 898 907 960 966 967 968 969 440 504
flowers | flowers | flower flowers | 985 986
plant | a plant | plant plants bush bushes flowers tree trees leaves | 738 985 986
tree | a tree | tree trees forest woods wooded |
grass | grass | grass grassy lawn field meadow |
snow | snow | snow snowy ski skier skiers skiing skis snowboard snowboarder sled snowball | 537 795 970 802
ice | ice | ice hockey skating rink |
sand | sand | sand sandy beach desert dune dunes | 978
water | water | water ocean lake river pool sea pond wave waves stream surf surfing swimming fountain waterfall
    puddle |
ocean | the sea | ocean sea wave waves surf surfer surfing beach shore | 977 978
rocks | rocks | rock rocks rocky cliff boulder boulders stones | 972
mountain | a mountain | mountain mountains mountainside cliff peak hill hills | 970 980
building | a building | building buildings house church tower skyscraper | 497 498 668 698 663
fence | a fence | fence fences railing gate | 489 716 912
bridge | a bridge | bridge | 821 839 888
stairs | stairs | stairs steps staircase |
swing | a swing | swing swings swinging | 843
slide | a slide | slide slides |
skateboard | a skateboard | skateboard skateboarder skateboarders skateboarding |
snowboard | a snowboard | snowboard snowboarder snowboarding |
surfboard | a surfboard | surfboard surfer surfing surfboards |
frisbee | a frisbee | frisbee disc |
stick | a stick | stick sticks branch |
rope | a rope | rope ropes leash |
bag | a bag | bag bags backpack backpacks purse | 414 636 728 748 797
sign | a sign | sign signs | 919
uniform | a uniform | uniform uniforms jersey jerseys |
dress | a dress | dress dresses skirt gown | 578 601 689
suit | a man in a suit | suit suits tie tuxedo | 834 906
fire | fire | fire fireworks flames campfire bonfire |
smoke | smoke | smoke smoking cigarette |
text | text | sign signs graffiti writing words letters banner | 916 917 921
window | a window | window windows | 904 905
door | a door | door doors doorway | 799
"""
_ACTS: Final = """
run | running | run runs running ran races racing chases chasing |
jump | jumping | jump jumps jumping jumped leaps leaping midair airborne |
swim | swimming | swim swims swimming swimmer |
climb | climbing | climb climbs climbing climber climbers |
sit | sitting | sit sits sitting seated |
stand | standing | stand stands standing |
walk | walking | walk walks walking |
ride | riding something | ride rides riding rider biker cyclist motorcyclist |
sport | doing a sport | soccer football basketball baseball tennis volleyball hockey rugby golf skateboarder
    skateboarding snowboarder snowboarding skier skiing surfer surfing player players team game gymnast race racing
    cricket | 429 430 522 805 852 890 795
dance | dancing | dance dances dancing dancer dancers ballerina |
music | playing music | guitar drums drum piano violin saxophone trumpet band instrument instruments musician
    musicians | 401 402 420 432 486 541 546 558 566 579 593 594 683 684 776 822 875 889
sing | singing | sing sings singing singer |
talk | talking | talk talks talking speaks speaking conversation speech |
speech | giving a talk or a speech | microphone speech speaking speaker stage podium presentation | 650
eat | eating | eat eats eating lunch meal |
drinkact | drinking | drink drinks drinking |
sleep | sleeping | sleep sleeps sleeping asleep |
cook | cooking | cook cooks cooking grill grilling chef cookout stirring | 567 827 909
smile | smiling | smile smiles smiling laugh laughs laughing |
read | reading | read reads reading |
hold | holding something | hold holds holding carries carrying |
throw | throwing something | throw throws throwing pitcher pitches |
catch | catching something | catch catches catching |
kick | kicking a ball | kick kicks kicking soccer |
hug | hugging | hug hugs hugging kiss kisses kissing embrace |
fight | fighting | fight fights fighting wrestle wrestling wrestlers boxing karate |
play | playing | play plays playing |
"""
_PLACES: Final = """
outdoors | outdoors | outside outdoors outdoor grass grassy street beach snow snowy park mountain mountains
    field water ocean lake river pool sand dirt hill sidewalk road rock rocks forest woods yard tree trees sky
    playground lawn cliff ramp trail | 970-980
indoors | indoors | indoors inside indoor room kitchen couch sofa bed gym living restaurant office floor carpet
    bedroom arena | 423 431 526 532 553 564 831
street | on a street or a road | street streets road sidewalk highway city intersection crosswalk traffic
    pavement parking | 919 920
beach | at a beach | beach ocean shore surf sand sandy |
kitchen | in a kitchen | kitchen stove oven sink refrigerator cooking | 534 550 651 760 827 859 909
park | in a park | park playground lawn |
forest | in a forest | forest woods wooded jungle trees |
mountains | in the mountains | mountain mountains mountainside cliff peak hiker hiking |
field | on a field | field grass grassy meadow |
city | in a city | city street buildings downtown urban sidewalk |
night | at night | night dark fireworks nighttime |
stadium | in a sports arena | stadium arena court gym rink basketball |
shop | in a shop | store shop market shopping mall | 582 624 454
restaurant | in a restaurant or a bar | restaurant bar cafe | 762
home | in a living room or a bedroom | bedroom living couch sofa bed room carpet | 431 564 831
water | in the water | water pool swimming swims ocean lake river wave |
snowy | in the snow | snow snowy ski skier snowboarder sled |
"""


def _classes(text: str) -> tuple[int, ...]:
    numbers: list[int] = []
    for item in text.split():
        low, _, high = item.partition("-")
        numbers.extend(range(int(low), int(high or low) + 1))
    return tuple(numbers)


def _parsed(kind: str, lines: str) -> list[Concept]:
    out = []
    for line in lines.strip().replace("\n    ", " ").splitlines():
        name, phrase, words, classes = (part.strip() for part in (line + " | ").split("|")[:4])
        out.append(Concept(name, kind, phrase, frozenset(words.split()), _classes(classes)))
    return out


CONCEPTS: Final[tuple[Concept, ...]] = (*_parsed("thing", _THINGS), *_parsed("act", _ACTS), *_parsed("place", _PLACES))


def named_in(caption: str) -> set[int]:
    """The indices of the concepts that a caption names."""
    words = set(re.findall(r"[a-z]+", caption.lower()))
    return {index for index, concept in enumerate(CONCEPTS) if words & concept.words}
