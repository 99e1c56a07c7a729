"""Short, frequent English words, for text whose length is counted in words (data)."""

_WORDS = """
able about above across add after again age air all along also always animal answer apple area arm ask away baby back bad bag ball bank base bath
beach bear beat bed before begin best better big bird black blood blue board boat body bone book born both bottom box boy bread break bridge bright
bring brown build burn bus busy buy cake call camp car care carry case cat catch cause center chair chance change check child church circle city class
clean clear clock close cloth cloud coat cold color come cook cool copy corn corner cost count country cover cow cross cup cut dance dark day deep
desk dinner doctor dog door down draw dream dress drink drive drop dry dust each early earth east easy eat edge egg end engine enough even evening
ever every eye face fact fall family far farm fast father feel few field fight fill find fine finger fire first fish five flat floor flower fly food
foot forest form four free fresh friend front fruit full game garden gate gift girl give glass gold good grass gray great green ground group grow
guess hair half hand happy hard hat head hear heart heat heavy help here high hill history hold hole home horse hot hour house how hundred ice idea
inside iron island job join keep key kind king kitchen know lake land large last late laugh law lead leaf learn leave left leg letter level life light
line list little live long look lose loud love low lunch machine main make many map mark market matter meal mean meat meet middle milk mind minute
money month moon more morning most mother mountain mouth move much music name near neck need never new news next night nine noise north nose note
number ocean off office often oil old once one open orange order other out outside over page paint pair paper park part party pass path pay pen people
person picture piece place plain plan plant play point poor power press price pull push question quick quiet rain reach read ready reason red rest
rice rich ride right ring rise river road rock roof room round rule run safe salt same sand save say school sea season seat second see seed sell send
seven shape share sharp sheep ship shoe shop short show side sign silver simple sing sister sit six size skin sky sleep slow small smile snow soft
soil some son song soon sound south space speak spring square stand star start stay step stone stop store storm story street strong student study
sugar summer sun sure sweet swim table tail take talk tall teach team tell ten test thank then thick thin thing think three through time today
together top touch town track trade train travel tree trip true try turn two under until use valley very view visit voice wait walk wall want warm
wash watch water wave way wear weather week well west wheel white wide wife wild wind window winter wish wood word work world write year yellow yes
young
"""

ENGLISH = tuple(_WORDS.split())
